"""How fast the integer program is beside other ways to run the same model: `wmq bench speed`.

contenders      who is measured: a library, a variant, a number of threads
measure         each is asked in turn, again and again, so that whatever else the machine
                does meets all alike; each has a process of its own (`wmq.bench.worker`)
hardware_limit  what memory and multipliers could do at best, measured in the same run
text, chart     the report as tables and as a picture
"""
