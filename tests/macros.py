"""Macros of a training by the project's gin files, with values as gin reads them."""

# What each leaves to the user.
REQUIRED = {
    "MODEL_DIR": "'out'",
    "LANGUAGE": "'hi'",
    **dict.fromkeys(("DICT_DIR", "TOKENIZER", "ALPACA_PATH"), "'samples'"),
    "INITIAL_CHECKPOINT_PATH": "None",
}


def bindings(**macros):
    return [f"{name} = {value}" for name, value in macros.items()]


def flags(**macros):
    return [f"--gin.{name}={value}" for name, value in macros.items()]
