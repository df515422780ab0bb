"""What int8 costs the model, under every available quantization method: `wmq bench quantization`.

From the games to the table, in the order in which they are used:

    play            the same games, and the same starts of rollouts, for every method
    record          what float32 predicts on every frame, computed once
    wmq_methods     wmq's own rows; those of other libraries are in `wmq.toolkits`
    measuring       one row: a method beside the record
    heads, figures  its figures: agreement head by head, and paired differences
    runner          row after row, each kept as soon as it is there
    suite           the rows, drift, sensitivity and the page, in one run
    table           the rows as text
    recipe_figures  the figures of recipes, kept beside them for `wmq recipes`
"""
