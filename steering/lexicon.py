"""The English that prompts are read with: how relations are written, and which words are no part of a noun phrase."""

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Where the subject stands as seen from the object: right, down, away from the viewer, and into it.
DIRECTIONS = {
    "left of": (-1, 0, 0, 0),
    "right of": (1, 0, 0, 0),
    "above": (0, -1, 0, 0),
    "below": (0, 1, 0, 0),
    "upper left of": (-1, -1, 0, 0),
    "upper right of": (1, -1, 0, 0),
    "lower left of": (-1, 1, 0, 0),
    "lower right of": (1, 1, 0, 0),
    "in front of": (0, 0, -1, 0),
    "behind": (0, 0, 1, 0),
    "inside": (0, 0, 0, 1),
}
LABELS = (*DIRECTIONS, "near", "between")
LABEL_OF = {direction: label for label, direction in DIRECTIONS.items()}
# "A left of B" says the same as "B right of A". Inside and between have no such word.
OPPOSITE = {"near": "near"} | {
    label: LABEL_OF[back]
    for label, direction in DIRECTIONS.items()
    if (back := tuple(-step for step in direction)) in LABEL_OF
}

# Ways to write a relation that holds no "left" or "right"; those are in LEFT_RIGHT below.
SPELLINGS = {
    "above": ["above", "over", "atop", "on top of", "on the top of", "at the top of", "up above", "well above"],
    "below": ["below", "under", "beneath", "underneath", "on the bottom of", "at the bottom of", "down below", "well below"],
    "near": ["near", "near to", "next to", "beside", "besides", "close to", "close by", "nearby to", "alongside", "alongside of",
             "adjacent to", "by the side of", "on the side of", "at the side of", "to the side of", "on either side of",
             "on both sides of", "on each side of", "in the vicinity of"],
    "in front of": ["in front of", "in the front of", "infront of", "ahead of"],
    "behind": ["behind", "in back of", "at the back of", "hidden by", "in the back of"],
    "inside": ["inside", "inside of", "within"],
    "between": ["between", "in between", "inbetween", "in the middle of", "midway between", "halfway between"],
}  # fmt: skip
NAMED = {way: label for label, ways in SPELLINGS.items() for way in ways}


def _ways(phrases) -> str:
    """A pattern of any of the phrases, the longest first, with any white space between their words."""
    return "|".join(
        r"\s+".join(map(re.escape, phrase.split())) for phrase in sorted(phrases, key=len, reverse=True)
    )


NAMED_WAYS = re.compile(rf"(?:{_ways(NAMED)})(?![\w'’-])")
# "(on the) (upper) left (hand side) (of)", also with the owner, "on its left".
LEFT_RIGHT = re.compile(
    r"""
    (?:(?P<lead>to|on|at|in|towards?|from)\s+)?
    (?:(?P<whose>the|its|it's|his|her|their|my|your|our)\s+)?
    (?:(?:far|very|immediate|extreme|direct|near|nearest|outer)\s+)?
    (?:(?P<vertical>upper|top|lower|bottom|above|below|over|under)[\s-]+
       (?:(?:(?:and|but)\s+)?(?:(?:slightly|just|a\s+bit|a\s+little|somewhat|far|further|also|directly)\s+)?to\s+the\s+|(?:and|but)\s+)?)?
    (?P<horizontal>left|right)
    (?:[\s-]+(?P<late>upper|top|lower|bottom)(?=[\s-]+(?:corner|side|part|of)\b))?
    (?:[\s-]*hand(?=[\s-]*side|\s+of))?
    (?:[\s-]*(?P<part>side|corner|edge|half|part|end|third|area|quadrant|portion))?
    (?P<of>\s+(?:of|from|to(?=\s+(?:an?|the)\s)))?
    (?![\w'’-])
    (?P<colon>\s*:)?
    """,
    re.VERBOSE,
)
UPPER = _set("upper top above over")
# "at the top (of)", "in the background", "on top".
TOP_BOTTOM = re.compile(
    r"""
    (?:(?P<lead>at|on|in|to|along|across)\s+)?(?:the\s+)?(?:very\s+|far\s+|extreme\s+)?
    (?P<place>top|bottom|upper|lower|middle|cent(?:er|re)|background|foreground|distance)
    (?:\s+(?P<part>half|part|edge|side|third|area|portion|section|row))?
    (?P<of>\s+of)?
    (?![\w'’-])
    (?P<colon>\s*:)?
    """,
    re.VERBOSE,
)
PLACES = {
    "top": (0, -1, 0, 0), "upper": (0, -1, 0, 0), "bottom": (0, 1, 0, 0), "lower": (0, 1, 0, 0),
    "middle": (0, 0, 0, 0), "center": (0, 0, 0, 0), "centre": (0, 0, 0, 0),
    "background": (0, 0, 1, 0), "distance": (0, 0, 1, 0), "foreground": (0, 0, -1, 0),
    "left": (-1, 0, 0, 0), "right": (1, 0, 0, 0),
}  # fmt: skip
# Said of a thing without naming the other: "a cake with a cherry on top", "a house with a car in front".
ADVERBS = {
    "on top": "above", "above": "above", "overhead": "above", "below": "below", "underneath": "below", "beneath": "below",
    "behind": "behind", "in front": "in front of", "in the front": "in front of", "in the back": "behind",
    "inside": "inside", "beside": "near", "nearby": "near", "alongside": "near",
}  # fmt: skip
ADVERB_WAYS = re.compile(rf"(?:{_ways(ADVERBS)})(?![\w'’-])")
# "the cat's left"
OWNED = re.compile(
    r"""
    (?:to|on|at)\s+(?:(?:the|an?)\s+)?
    (?P<owner>(?:(?!(?:to|on|at|in|the|an?|and|is|are|with)\b)[\w-]+\s+){0,4}?[\w-]+?)(?:['’]s|(?<=s)['’])\s+
    (?:(?:far|immediate|upper|lower)\s+)?(?P<horizontal>left|right)(?:[\s-]*hand(?=[\s-]*side))?(?:[\s-]*side)?
    (?![\w'’-])
    """,
    re.VERBOSE,
)
ROWS = {"left to right": "left of", "right to left": "right of", "top to bottom": "above", "bottom to top": "below"}
ROW = re.compile(rf"(?:from\s+)?(?:the\s+)?(?P<row>{_ways(ROWS)})(?![\w'’-])")
EACH_OTHER = re.compile(r"(?:each\s+other|one\s+another)(?![\w'’-])")
SIDE_BY_SIDE = re.compile(r"side[\s-]by[\s-]side(?![\w'’-])")

ARTICLES = _set("a an the")
PLURALS = _set("two three four five six seven eight nine ten eleven twelve dozen several many few both these those some all")
DETERMINERS = ARTICLES | PLURALS | _set("this that one each every another no any my your his her its our their whose")
# The part of them that can also stand for a thing, "her" in "next to her".
PRONOUNS = _set("it him her them he she they")
JOINS = _set("and & but while plus whereas yet")
RELATIVES = _set("which that who whom")
CLAUSES = _set("where when because although though so")
OPENERS = _set("tonight today meanwhile then now here suddenly finally next also")
NOBODY = _set("nobody nothing none noone")
# Plurals that begin the name of one thing: "a red sports car".
PLURAL_FIRST = _set("sports clothes arms goods news savings sales jeans games brass glasses swiss mars james physics")
BE = _set("is are was were be being been")
PLURAL_BE = _set("are were")
NOT = _set("not never cannot nor neither")
CONTRACTED = _set("there it that here he she who what one they")  # before "'s" and "'re"
MODALS = _set("can could should must may might will would")
AUXILIARIES = _set("can could should must may might will would has have had do does did to we you i one")

# What hangs a thing on the one before it: "a man [with] a hat".
PREPOSITIONS = _set(
    "with without in on at by for from to into onto off out up down around through against among amid during as like of than "
    "toward towards along across past until since per via upon outside beyond about"
)
CLOSED = DETERMINERS | PRONOUNS | JOINS | RELATIVES | CLAUSES | BE | NOT | PREPOSITIONS | {"there"} | (
    AUXILIARIES - {"will", "might", "can"}
)
KINDS = {
    word: kind
    for words, kind in (
        (BE, "verb"), (JOINS, "join"), (RELATIVES, "which"), (CLAUSES, "comma"), (PRONOUNS, "pronoun"), (PREPOSITIONS, "preposition"), (NOT, "not"),
    )
    for word in words
}  # fmt: skip
# Verbs whose object hangs on their subject: "a man [wearing] a hat".
CARRYING = _set(
    "wearing holding carrying riding eating drinking reading chasing showing containing featuring depicting having playing watching "
    "pulling pushing hugging kissing kicking throwing catching making cooking selling driving using wielding licking biting chewing "
    "sipping touching petting feeding pouring cutting writing drawing sporting surrounding covering filling displaying serving "
    "wears holds carries rides eats drinks reads chases shows contains features depicts has plays watches pulls pushes hugs kicks "
    "throws catches makes cooks sells drives uses wields licks bites full made filled covered decorated dressed surrounded topped "
    "lit painted adorned wrapped"
)
HAVING = _set("with without has have having")
PICTURING = _set("which with showing shows containing contains featuring features depicting depicts having has displaying")


def _forms(verbs: str) -> tuple[frozenset[str], ...]:
    """The -s and the -ing forms of regular verbs."""
    third, ing = set(), set()
    for verb in verbs.split():
        if verb.endswith("y") and verb[-2] not in "aeiou":
            third.add(verb[:-1] + "ies")
        else:
            third.add(verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z")) else "s"))
        doubled = verb + verb[-1] if verb in ("sit", "run", "swim", "nap", "squat", "put", "trot", "spin", "hop") else verb
        ing.add((verb[:-2] + "y" if verb.endswith("ie") else doubled.removesuffix("e")) + "ing")
    return frozenset(third), frozenset(ing)


# Verbs of being somewhere. Some of them are nouns as well: "a hot dog stand", "the fruit flies".
NOUNS_TOO = "stand fly rest swing tower walk run jump dance float perch land light play hang nap stretch slide bark rise loom lean"
VERBS_ONLY = (
    "sit lie hover sleep soar appear stay grow remain exist reside dangle drift shine glow crouch kneel squat leap swim glide wait "
    "roam graze bloom burn climb crawl live peek stare gaze look face point head lurk wander emerge trot doze snooze spin hop "
    "gallop march ascend descend lounge slumber snuggle huddle orbit circle linger arch extend stretch hide pass flow wind pray explode "
    "swirl spiral cross meander trickle cascade pour fall spread gather nestle roost prowl stalk hurry zoom hurtle fade flicker blaze "
    "smolder sparkle twinkle glitter gleam sprout blossom droop smile laugh sing howl meow roar growl chirp pose jog sprint strut paddle "
    "bathe dive sink sway bob flutter flap buzz swarm protrude jut overhang poke wobble teeter recline relax settle dwell tower "
    "scurry scamper slither creep tiptoe stroll trundle trot glare grin bounce roll tumble twirl whirl rumble steam simmer boil "
    "spring rear bend kneel hunch rush dash speed stir bask sunbathe lurch flit hum wade swoop creak squawk squabble squawk coil work "
    "sprawl glimmer shimmer idle cling slump slouch hiss sniff bellow wobble quiver tremble shiver gurgle ripple billow waft hurtle careen "
    "plummet topple collapse crumble rot rust decay thrive flourish mingle assemble congregate loiter saunter amble plod lumber limp "
    "stumble stagger clamber scramble slink prance frolic cavort pirouette somersault levitate tower loom reside lodge rustle flare "
    "erupt gush spurt drip drizzle pulsate throb whirr click clatter chatter giggle weep sob snore yawn blink wink nod bow chirp tweet "
    "quack neigh bray bleat purr snarl hoot cackle croak"
)
BASE_NOUNS_TOO, BASE_VERBS = _set(NOUNS_TOO), _set(VERBS_ONLY) - _set(
    "face point head look light arch circle orbit march live pass wind pray cross fall spread hurry fade blaze smile laugh pose sway bob buzz "
    "swarm poke spring rear bend rush dash speed stir roll tower steam boil growl howl hum sink settle roar spiral cascade stalk flow "
    "coil work idle rust click chatter wink nod bow tweet quack ripple flare hoot stumble limp bellow lodge flap bounce stretch glitter sparkle extend glow shine crawl climb burn bloom drift hop trot spin doze lounge huddle dive"
)
THIRD = _forms(NOUNS_TOO + " " + VERBS_ONLY)[0] - _set(
    "lights faces heads points arches circles orbits looks lands plays springs crosses spirals coils bows ripples flares lodges winks tweets"
)
ING = _forms(NOUNS_TOO + " " + VERBS_ONLY)[1]
PAST = _set(
    "sat stood hung lay laid flew slept grew swam ran rose set put seen built drawn shown stuck kept found hidden "
    "visible asleep awake alone located split laden swollen woven torn eaten frozen fallen bound strewn askew"
)
LOOKING = frozenset(
    form
    for verb in ["look", "gaze", "stare", "glance", "face", "point", "turn", "head", "lean", "tilt", "walk", "move", "run", "drive", "fly", "drift", "swim", "swerve", "bend", "shift", "veer", "steer", "travel", "sail", "aim", "curve", "gesture", "swipe", "scroll", "peer"]
    for form in (verb, *next(iter(_forms(verb)[0:1])), *_forms(verb)[1], verb + "ed", verb.removesuffix("e") + "ed")
) | _set("tilted turned pointed angled bent slanted")  # fmt: skip
GAZING = _set("looking looks look gazing gazes staring stares glancing glances peering peers pointing points")
# -ing words that are nouns, or that stand before nouns as parts of their names.
ING_NOUNS = _set(
    "building painting ceiling ring earring king wing string swing pudding sibling lightning evening morning clothing railing awning "
    "wedding bearing dumpling duckling icing sling spring thing sterling drawing carving being viking gosling seedling crossing "
    "landing stocking bedding frosting filling topping engraving etching rigging outbuilding hireling darling inkling pairing dwelling "
    "herring starling sapling fledgling bing beijing wing-thing offering opening sewing knitting parking dining flooring siding lettering"
)
ED_NOUNS = _set("hundred thoroughbred purebred biped moped quadruped watershed bobsled flatbed seabed sacred infrared kindred hatred")
LY_NOUNS = _set(
    "family butterfly dragonfly firefly fly lily belly jelly doily bully dolly holly assembly monopoly gully ally italy july billy "
    "sally emily kelly molly polly lily lilly trolly gadfly mayfly housefly horsefly blowfly teddy curly woolly fluffy wooly jolly silly "
    "ugly lovely lonely friendly deadly ghostly elderly holy"
)
S_NOUNS = _set(
    "glasses lens chess series species news crossroads headquarters barracks gallows swiss scissors pants jeans shorts binoculars "
    "sunglasses goggles pliers tweezers tongs trousers pajamas pyjamas headphones earphones"
)
# Adverbs and the like, which a phrase does not end with.
LOOSE = _set(
    "just high right far slightly immediately exactly straight way low close only also clearly up down diagonally so too still back "
    "halfway midway partially partly somewhat together apart again there here away along somewhere both then now very quite rather "
    "half ago even almost about nearly half-way directly always usually often upside tall proud proudly peacefully alone bit little"
) - _set("little")
MEASURES = _set(
    "metre metres meter meters foot feet inch inches cm centimeters centimetres km kilometers kilometres mile miles step steps yard "
    "yards pixel pixels m ft bit little inch storey stories storeys floors"
)
SINGULAR_ENDINGS = ("ss", "us", "is", "as", "os", "'s", "’s")
IRREGULAR_PLURALS = _set(
    "people men women children sheep mice geese fish deer wolves feet teeth oxen pianos photos flamingos buffalos dinos"
)
ADJECTIVE_ENDINGS = ("ed", "ly", "ing", "ful", "ous", "ish", "less", "ic", "al", "en", "y")
ADJECTIVES = _set(
    "red green blue yellow orange purple pink brown black white gray grey golden silver beige teal cyan magenta violet crimson scarlet "
    "turquoise maroon navy dark light bright pale big small large tiny huge giant little tall short long wide thin thick fat slim old new "
    "young ancient modern cute beautiful pretty ugly wooden metal metallic plastic round square shiny fluffy furry happy sad angry "
    "colorful colourful empty dirty clean hot cold wet dry soft hard heavy rusty smooth rough smiling majestic elegant fancy simple "
    "vibrant detailed vintage retro rustic cozy friendly gentle wise brave striped spotted plain alone weathered worn broken curly"
)

HEADS = _set(
    "photo photograph photography picture image emoji painting drawing sketch illustration render rendering shot view close-up closeup "
    "portrait icon snapshot scene depiction artwork watercolor watercolour postcard mosaic daguerreotype polaroid risograph panorama fresco linocut gouache pastel charcoal vignette storyboard panel cover woodcut engraving etching lithograph cartoon selfie footage still art poster print collage "
    "composition wallpaper screenshot mural diorama photos pictures images paintings illustrations comic anime logo design pixel-art"
)
# Places that hold things: "a room with a lamp left of a bed" is about the lamp.
SCENES = HEADS | _set(
    "room kitchen bedroom bathroom office street field garden landscape beach park forest scene city town village sky desert meadow yard "
    "world interior exterior environment setting backdrop background foreground night day morning evening sunset sunrise dawn dusk "
    "floor lawn courtyard cafe restaurant bar studio gallery museum library classroom hallway "
    "valley countryside harbor harbour market plaza square farm jungle"
)
# "a table with a cup left of a plate" is about the cup as well, but "a table with a cup on top" has its table.
SURFACES = _set("table desk shelf counter tray countertop bench nightstand windowsill mantel mantelpiece tabletop workbench")
STYLE = _set(
    "masterpiece quality lighting resolution bokeh hdr 4k 8k 2k 16k 85mm 50mm 35mm 24mm uhd detail details realism photorealistic "
    "hyperrealistic realistic cinematic sharp focus style aesthetic vibes background colors colours palette artstation trending exposure "
    "grain blur atmosphere mood f/1.8 detailed intricate octane unreal dslr raw render photography"
)
# With "the", the picture itself or nothing at all: "the left side of the image", "one above the other".
PICTURE = HEADS & _set("image picture photo photograph frame scene shot composition view painting") | _set(
    "frame canvas screen page camera viewer center centre middle top bottom foreground background"
)
NOT_THINGS = _set("other others rest")
# Objects that make an idiom of the relation, with or without "the".
IDIOMS = _set(
    "average par way passage construction control pressure attack arrest repair time age zero all top years year weather scenes scene "
    "influence circumstances conditions supervision freezing nothing budget schedule bars death future miss direction moment point "
    "suspicion contempt expectations eighteen hours days months weeks night rain sunlight moonlight sunshine daylight light lighting "
    "lights ground deck water cover siege charge edge-of wheel law minutes seconds itself himself herself themselves sight joke out "
    "limits reason reach midnight noon jobs completion perfection perfect standard standards normal guidance command inspection review investigation duress wraps curtains fire "
    "easy takes times oath lockdown tears quarantine stress strain threat observation warranty contract license wing acts meals classes "
    "shifts seasons friends heels distance range estimate estimates guise name title auspices question doubt consideration beyond"
)
# "over 100 years" is no relation, "over 3 houses" is.
FIGURATIVE = _set("distance conditions circumstances lighting daylight sunlight moonlight supervision")
COUNTED = _set("years hours days minutes months weeks seconds people times percent degrees pounds dollars")
# After these words "over", "right" and the like are no relation: "from above", "all over", "the right of way".
NOT_BEFORE = _set("of from all left a an the my your his its our their no any this that take taking took turn turned hand hands "
    "handing handed taken turning pulling pulled giving won winning thinking talking fighting arguing boiling crying knocked tripping"
)
HUNG = _set("hangs hanging hung framed leans leaning mounted displayed propped")
TITLES = _set("mr mrs ms dr st prof jr sr no vs etc")
