"""Write one page: what was measured, and both models playing side by side.

Results (`wmq.evaluation.results`) and a comparison of two rollouts come in; one HTML file leaves,
which carries its data, style and program in itself and asks no network for anything.
"""
