"""The training texts of both sides of `run_training.py`."""

# Upper case, marks, accents, a caption that is cut at 32 tokens, one that ends at once.
CAPTIONS = (
    "A cat, sitting on the Red: mat; with its (green) tail *up* and two dogs that are not there: \u4e16\u754c, at all.",
    "Image of the following.",
    "green",
)
DESCRIPTIONS = (
    "The image is of a cat. It sits on a red mat, and two dogs are in it.\nBehind it is the green caf\u00e9 at 7.",
    "There is not one thing to see.",
    "The answer is " + "red and green and " * 60 + "not there.",
)
INSTRUCTIONS = ("Say what is in this image.", "What is in this image? Please answer.", "Say what is in this image.")
PICTURES = (0, 1, 0)  # of the recipe's
MAX_TOKENS = {1: 32, 2: 160}
TEMPLATES = {"vicuna": "###Human: {} ###Assistant: ", "llama2": "[INST] {} [/INST] "}
ENDS = {"vicuna": "###", "llama2": "</s>"}
# A schedule: steps, warm-up, rates
SCHEDULE = {"steps": 40, "warmup": 10, "lr": 1e-4, "lr_min": 8e-5, "lr_warmup_start": 1e-6}
