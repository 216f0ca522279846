"""Which of COCO's 80 categories a noun phrase names: by its last two words, or its last."""

from __future__ import annotations

from stages.train.wording import WORD, singular

# Common names beside the categories' own; singular. What may be something else as often ("plant", "glass") is left out.
SYNONYMS: dict[str, str] = {
    "person": "man woman boy girl child kid baby toddler guy lady gentleman people adult teenager teen player rider"
    " skier snowboarder surfer skateboarder skater cyclist biker bicyclist motorcyclist batter pitcher catcher umpire"
    " baseball_player tennis_player soccer_player pedestrian chef cook officer policeman worker soldier student mother"
    " father son daughter swimmer runner jogger climber hiker fisherman dancer bride groom individual male female"
    " friend youth crowd_member old_man young_man old_woman young_woman",
    "bicycle": "bike cycle",
    "car": "automobile sedan suv taxi cab",
    "motorcycle": "motorbike scooter moped",
    "airplane": "plane aeroplane jet airliner jetliner aircraft biplane",
    "train": "locomotive",
    "truck": "pickup lorry",
    "boat": "ship sailboat canoe kayak rowboat ferry yacht",
    "traffic light": "stoplight",
    "fire hydrant": "hydrant",
    "bird": "seagull duck pigeon parrot goose gull owl eagle",
    "cat": "kitten kitty",
    "dog": "puppy pup poodle terrier retriever labrador bulldog",
    "horse": "pony foal",
    "sheep": "lamb ewe",
    "cow": "calf bull ox cattle",
    "bear": "cub",
    "backpack": "rucksack knapsack",
    "handbag": "purse",
    "tie": "necktie",
    "suitcase": "luggage",
    "skis": "ski",
    "sports ball": "ball football soccer_ball basketball baseball tennis_ball",
    "skateboard": "skate_board",
    "surfboard": "surf_board",
    "cup": "mug",
    "couch": "sofa loveseat",
    "potted plant": "houseplant",
    "dining table": "table kitchen_table desk_table",
    "tv": "television monitor tv_screen",
    "laptop": "laptop_computer",
    "remote": "remote_control",
    "cell phone": "cellphone phone smartphone",
    "donut": "doughnut",
    "teddy bear": "stuffed_animal stuffed_bear",
    "hair drier": "hairdryer",
    "refrigerator": "fridge",
    "microwave": "microwave_oven",
}


IRREGULAR = {
    "people": "person",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
}


def names_of(categories: list[str]) -> dict[str, str]:
    """Name in the singular -> category, for the categories and their synonyms."""
    found = {singular_name(category): category for category in categories}
    for category, names in SYNONYMS.items():
        for name in names.split():
            found.setdefault(name.replace("_", " "), category)
    return found


def singular_name(name: str) -> str:
    """Of the last word."""
    *before, last = name.split()
    return " ".join([*before, IRREGULAR.get(last) or singular(last)])


def category_of(phrase: str, names: dict[str, str]) -> str | None:
    """By the last two words, or the last; None for anything else."""
    words = [word.lower() for word in WORD.findall(phrase)]
    for count in (2, 1):
        if len(words) >= count and (named := names.get(singular_name(" ".join(words[-count:])))):
            return named
    return None
