"""Names of stages, characters and controls, as options and the Python interface take them."""

STAGES = {  # name -> external id
    "fountain-of-dreams": 2,
    "pokemon-stadium": 3,
    "yoshis-story": 8,
    "dream-land": 28,
    "battlefield": 31,
    "final-destination": 32,
}
CHARACTERS = {  # name -> internal id
    "mario": 0, "fox": 1, "falcon": 2, "donkey-kong": 3, "kirby": 4, "bowser": 5, "link": 6,
    "sheik": 7, "ness": 8, "peach": 9, "pikachu": 12, "samus": 13, "yoshi": 14,
    "jigglypuff": 15, "mewtwo": 16, "luigi": 17, "marth": 18, "zelda": 19, "young-link": 20,
    "dr-mario": 21, "falco": 22, "pichu": 23, "game-and-watch": 24, "ganondorf": 25, "roy": 26,
}  # fmt: skip
CONTROLLER_FIELDS: tuple[str, ...] = (  # of one player, in the order of the integer controllers
    "main_x", "main_y", "c_x", "c_y", "trigger",
    "A", "B", "X", "Y", "Z", "L", "R", "D_UP",
)  # fmt: skip
