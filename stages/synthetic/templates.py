"""The words around the things: joints, frames, stock-photo talk, hashtags, file names. No word here names a thing."""

from collections.abc import Callable

from stages.synthetic.nouns import Noun
from stages.synthetic.randomness import Stream

VERBS = ("", "", "", "", "shown ", "just ", "seen ")
JOINTS = (", ", ", ", " and ", " with ", " & ", " / ", " + ", " plus ", "; ", " &amp; ", " and  ", " | ")
LAST_JOINTS = (
    " and ",
    " and ",
    " and ",
    " with ",
    ", ",
    " & ",
    " and also ",
    " together with ",
    " as well as ",
    " &amp; ",
)
MISSING = (" but ", " but ", " without ", " instead of ", ", missing ", ", not ", " waiting for ", ", looking for ")
FRAMES = (
    ("there is ", ""),
    ("there's ", " here"),
    ("this is ", ""),
    ("look at ", "!"),
    ("here you can see ", ""),
    ("i love ", ""),
    ("i found ", " today"),
    ("we saw ", " this morning"),
    ("how to draw ", ""),
    ("a photo of ", ""),
    ("picture of ", ""),
    ("a close up of ", ""),
    ("drawing of ", ""),
    ("image shows ", ""),
    ("just ", ", nothing else"),
    ("finally ", " again"),
    ("", " in the morning"),
    ("", " on a white background"),
    ("", ", side view"),
    ("", " outdoors"),
    ("", " (2019)"),
    ("", " - my favorite"),
)
ENDINGS = ("", "", "", ".", ".", ".", " .", "..", "...", "!", "  ", " . ", " :)")

STOCK_OPENINGS = (
    "stock photo of ",
    "stock photo: ",
    "stock image of ",
    "vector illustration of ",
    "vector set with ",
    "royalty free picture of ",
    "illustration of ",
    "cartoon illustration of ",
    "3d rendering of ",
    "high angle view of ",
    "isolated: ",
    "icon of ",
    "clip art of ",
    "",
    "",
)
TITLE_OPENINGS = ("", "", "", "", "best of: ", "new: ", "for sale: ", "free download: ", "how to paint ", "part 2 - ")
TITLE_CLOSINGS = (
    "",
    "",
    "",
    " | Blog",
    " - Gallery",
    " (free shipping)",
    " for sale",
    " - ideas",
    ", vintage style",
    " !!!",
)
SOCIAL_OPENINGS = ("", "", "", "omg ", "love this: ", "today: ", "RT @mia_92: ", "so happy with ", "check out ", "lol ")
ALT_OPENINGS = ("", "", "", "image: ", "alt=", "photo - ", "pic of ", "thumbnail: ")
ALT_CLOSINGS = ("", "", "", "", ",", ", 2 of 5", " - thumbnail", ", close-up", " (1)", " …")
EMOJI = ("😀", "😍", "❤️", "✨", "👍", "😂", "🔥", "🙂")
_TAGS = ("cute", "love", "instagood", "nofilter", "art", "happy", "design", "tbt", "nature", "2020", "monday")
_DIGITS = "0123456789"


def _number(digits: int, stream: Stream) -> str:
    return "".join(stream.pick(_DIGITS) for _ in range(digits))


def file_name(stream: Stream) -> str:
    """A name as cameras and web pages give."""
    stem = stream.pick(("IMG_", "DSC", "DSC_0", "image", "photo_", "P10", "untitled-"))
    return stem + _number(4, stream) + stream.pick((".jpg", ".JPG", ".jpeg", ".png"))


def hashtags(nouns: list[Noun], stream: Stream) -> str:
    """One to three tags, some of them naming what was mentioned; a tag is no phrase."""
    words = [noun.name.replace(" ", "").replace("-", "") for noun in nouns if stream.chance(0.5)][:2]
    words += [stream.pick(_TAGS) for _ in range(stream.integer(1, 2))]
    return " ".join("#" + word for word in words)


STOCK_CLOSINGS: tuple[Callable[[Stream], str], ...] = (
    lambda stream: "",
    lambda stream: "",
    lambda stream: ".",
    lambda stream: ", stock photo",
    lambda stream: " - Stock Image",
    lambda stream: f" #{_number(7, stream)}",
    lambda stream: " isolated on white background",
    lambda stream: ", vector",
    lambda stream: f" © {_number(4, stream)} all rights reserved",
    lambda stream: f" | www.example.com/p/{_number(5, stream)}",
    lambda stream: ". Royalty-free, 300 dpi",
)
WORDLESS: tuple[Callable[[Stream], str], ...] = (
    file_name,
    file_name,
    lambda stream: "untitled",
    lambda stream: "#" + stream.pick(_TAGS),
    lambda stream: f"www.example.com/p/{_number(5, stream)}",
    lambda stream: "photo " + _number(2, stream),
    lambda stream: "click here to download",
)
