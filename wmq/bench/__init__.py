"""How fast the integer program is beside other ways to run the same model: `wmq bench speed`.

Settings come in, a `Report` leaves.  Every way is a `Row` with a process of its own
(`wmq.bench.worker`), which is asked for one measurement at a time; `speed` asks all of
them in turn, again and again, so that whatever else the machine does meets each alike.
What memory and multipliers of the machine could do at best is measured in the same run.
"""
