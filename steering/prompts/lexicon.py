"""The English that prompts are read with: how relations are written, and which words are no part of a noun phrase."""

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Ways to write a relation that holds no "left" or "right"; those are in LEFT_RIGHT below.
SPELLINGS = {
    "above": ["above", "over", "atop", "on top of", "on the top of", "at the top of", "up above", "well above",
              "way above", "above of", "above to", "over top of", "ontop of", "on-top of"],
    "below": ["below", "under", "beneath", "underneath", "on the bottom of", "at the bottom of", "down below",
              "well below", "way below", "below of", "below to", "beneath of", "underneath of", "under of"],
    "near": ["near", "near to", "near by", "next to", "nextto", "next-to", "beside of", "by side of", "along side",
             "beside", "besides", "close to", "close by", "nearby to", "alongside", "alongside of", "adjacent to",
             "by the side of", "on the side of", "at the side of", "to the side of", "on side of",
             "on either side of", "on both sides of", "on each side of", "in the vicinity of"],
    "in front of": ["in front of", "in the front of", "infront of", "in front to", "ahead of"],
    "behind": ["behind", "in back of", "at the back of", "hidden by", "in the back of", "behind of", "to the rear of",
               "at the rear of", "to the back of"],
    "inside": ["inside", "inside of", "within", "among", "amongst", "amid", "amidst", "in the midst of"],
    "between": ["between", "in between", "inbetween", "midway between", "halfway between"],
    "on": ["on", "upon", "on to"],
    "around": ["around", "all around"],
}  # fmt: skip


def _misspelled(word: str) -> set[str]:
    """With a letter left out, doubled or two swapped, but for the first: "beneth", "beetween"."""
    cut = {word[:k] + word[k + 1 :] for k in range(1, len(word))}
    cut |= {word[:k] + word[k] + word[k:] for k in range(1, len(word))}
    return (cut | {word[:k] + word[k + 1] + word[k] + word[k + 2 :] for k in range(1, len(word) - 1)}) - {"blow"}


NAMED = {way: label for label, ways in SPELLINGS.items() for way in ways}
NAMED |= {
    typo: NAMED[way]
    for way in ("above", "below", "under", "beneath", "underneath", "behind", "beside", "inside", "between", "around")
    for typo in _misspelled(way)
    if typo not in NAMED
}
NAMED |= {way[:-2] + "off": label for way, label in NAMED.items() if way.endswith(" of")} | {"next too": "near"}
# The same where only an object tells which: "in the middle of (two trees, a lake)".
MIDDLE = _set("middle center centre")
NAMED |= {f"{lead} the {word} of": "between" for word in MIDDLE for lead in ("in", "at")}


def _ways(phrases) -> str:
    """A pattern of any of the phrases, the longest first, with any white space between their words."""
    return "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in sorted(phrases, key=len, reverse=True))


NAMED_WAYS = re.compile(
    rf"(?:(?:on\s+top|in\s*front|next|nearby)(?=\s+(?:an?|the|its|his|her|my|your|our|their)\s)|{_ways(NAMED)})(?![\w'’-])"
)
SHORT = {"on top": "above", "in front": "in front of", "infront": "in front of", "next": "near", "nearby": "near"}
# "surrounded by", and the same the other way round, "a moat surrounding a castle".
SURROUNDED = re.compile(
    r"(?:surrounded|ringed|encircled|circled|enclosed)\s+(?:on\s+all\s+sides\s+)?(?:by|with)(?![\w'’-])"
    r"|(?:surround(?:s|ing)?|encircl(?:es?|ing)|ring(?:s|ing))(?=\s+(?:an?|the|its|his|her|my|your|our|their|it|him|them)\s)"
)
ABOUT_PLACES = re.compile(rf"\b(?:{_ways(NAMED)}|left|right|on)\b")
STARTS = {way.split()[0] for way in NAMED} | _set(
    "surrounded ringed encircled circled enclosed surround surrounds surrounding encircle encircles encircling rings "
    "ringing each one side side-by-side"
)
# "(on the) (upper) left (hand side) (of)", also with the owner, "on its left".
LEFT_RIGHT = re.compile(
    r"""
    (?:(?P<lead>to|on|at|in|towards?|from)\s+)?
    (?:(?P<whose>the|its|it's|his|her|their|my|your|our)\s+)?
    (?:(?:far|very|immediate|extreme|direct|near|nearest|outer)\s+)?
    (?:(?P<vertical>upper|top|lower|bottom|above|below|over|under)[\s-]+
       (?:(?:(?:and|but)\s+)?(?:(?:slightly|just|a\s+bit|a\s+little|somewhat|far|further|also|directly)\s+)?to\s+the\s+|(?:and|but)\s+)?)?
    (?P<horizontal>left|right|rigth|rihgt|rigt|rght|lefft|lft)
    (?:[\s-]+(?P<late>upper|top|lower|bottom)(?=[\s-]+(?:corner|side|part|of)\b))?
    (?:[\s-]*hand(?=[\s-]*side|\s+of))?
    (?:[\s-]*(?P<part>side|corner|edge|half|part|end|third|area|quadrant|portion))?
    (?P<of>[\s-]+(?:of|off|from|to))?
    (?![\w'’-])
    (?P<colon>\s*:)?
    """,
    re.VERBOSE,
)
AND_RIGHT = re.compile(r"\s+(?:and|&)\s+(?:to\s+|on\s+)?(?:the\s+)?(?:left|right)(?:\s+sides?)?\s+of(?![\w'’-])")
AND_OTHER = re.compile(r"\s+(?:and|&)\s+(?:to\s+|on\s+)?(?:the\s+)?(?:left|right)(?![\w'’-])(?!\s+of)")
UPPER = _set("upper top above over")
# "at the top (of)", "in the background", "on top".
TOP_BOTTOM = re.compile(
    r"""
    (?:(?P<lead>at|on|in|to|along|across)\s+)?(?:the\s+)?(?:very\s+|far\s+|extreme\s+)?
    (?P<place>top|bottom|upper|lower|middle|cent(?:er|re)|background|foreground)
    (?:[\s-]*(?P<part>half|part|edge|side|third|area|portion|section|row|centre|center|middle))?
    (?P<of>\s+of)?
    (?![\w'’-])
    (?P<colon>\s*:)?
    """,
    re.VERBOSE,
)
PLACES = {
    "top": (0, -1, 0, 0), "upper": (0, -1, 0, 0), "bottom": (0, 1, 0, 0), "lower": (0, 1, 0, 0),
    "middle": (0, 0, 0, 0), "center": (0, 0, 0, 0), "centre": (0, 0, 0, 0),
    "background": (0, 0, 1, 0), "foreground": (0, 0, -1, 0),
    "left": (-1, 0, 0, 0), "right": (1, 0, 0, 0),
}  # fmt: skip
# Said of a thing without naming the other: "a cake with a cherry on top", "a house with a car in front".
ADVERBS = {
    "on top": "above", "above": "above", "overhead": "above",
    "below": "below", "underneath": "below", "beneath": "below",
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
ROWS = {
    "left to right": "left of",
    "right to left": "right of",
    "top to bottom": "above",
    "bottom to top": "below",
}
ROW = re.compile(rf"(?:from\s+)?(?:the\s+)?(?P<row>{_ways(ROWS)})(?![\w'’-])")
EACH_OTHER = re.compile(r"(?:each\s+other|one\s+another)(?![\w'’-])")
SIDE_BY_SIDE = re.compile(r"side[\s-]by[\s-]side(?![\w'’-])")

# --- Small words ------------------------------------------------------------------------------------------------------

ARTICLES = _set("a an the")
PLURALS = _set(
    """
    two three four five six seven eight nine ten eleven twelve dozen several many few both these
    those some all
    """
)
DETERMINERS = ARTICLES | PLURALS | _set("this that one each every another no any my your his her its our their")
PRONOUNS = _set("it him her them he she they")
NEUTER = _set("it its")
PLURAL_PRONOUNS = _set("them they their")
CROWDS = _set("couple pair group crowd family team band class trio duo")
JOINS = _set("and & but while plus whereas yet")
LEADS = _set("to on at in")
RELATIVES = _set("which that who whom whose")
CLAUSES = _set("where when because although though so")
BE = _set("is are was were be being been")
PLURAL_BE = _set("are were")
NOT = _set("not never cannot nor neither")
CONTRACTED = _set("there it that here he she who what one they i you we")  # before "'s" and "'re"
MODALS = _set("can could should must may might will would")
AUXILIARIES = MODALS | _set("has have had do does did to we you i me us one please want need")
REFLEXIVES = _set("himself herself itself themselves yourself myself")
PERSONS = _set("she he they i we you")
# What hangs a thing on the one before it: "a man [with] a hat".
PREPOSITIONS = _set(
    """
    with without in on at by for from to into onto off out up down around through against among
    amid during as like of than toward towards along across past until since per via upon
    outside beyond about after before despite
    """
)
CLOSED = (
    REFLEXIVES | DETERMINERS | PRONOUNS | JOINS | RELATIVES | CLAUSES | BE | NOT | PREPOSITIONS | {"there"}
    | (AUXILIARIES - {"will", "might", "can"})  # "a can of soda"
)  # fmt: skip
KINDS = {
    word: kind
    for kind, words in {
        "verb": BE, "join": JOINS, "which": RELATIVES, "comma": CLAUSES, "pronoun": PRONOUNS,
        "preposition": PREPOSITIONS, "not": NOT,
    }.items()
    for word in words
}  # fmt: skip
# Before the first thing of a sentence: "Tonight a dog", "draw a dog".
OPENERS = _set(
    """
    hello hi hey ok okay maybe thanks tonight today meanwhile then now here suddenly finally next also draw
    generate create make imagine depict give
    """
)
ORDERS = _set("paint render show design picture")  # nouns as well
TITLES = _set("mr mrs ms dr st prof jr sr vs etc")

# Endings that tell an adjective, or whose a thing is.
ADJECTIVE_ENDINGS = ("ous", "ful", "less", "ish", "able", "ible", "'s", "’s", "s'", "s’")
PERSON_ENDINGS = ("ist", "ista", "ician", "grapher", "smith", "keeper", "maker", "rider")
# Verbs whose past form looks like the present one.
SAME = _set("lost found put set cut shut split spread cast hit let")

# --- Verbs --------------------------------------------------------------------------------------------------------

# What makes its thing belong to the one before, and what makes a scene of that one.
HAVING = _set("with without has have having")
SHOWING = _set(
    """
    capture captures capturing show shows showing depict depicts depicting portray portrays portraying feature
    features featuring
    """
)
PICTURING = HAVING - {"without"} | SHOWING | _set("which containing contains displaying")
PERFECT_BEFORE = BE | _set("has have had")
# What is placed is spoken of, and not who places it: "someone has put a box under the bed".
PLACING = _set("put place dump leave left position park lay laid hang hide plant arrange stack bury pin mount prop")
SEEING = _set(
    "watch photograph examine reach admire study observe inspect notice draw paint sketch spin weave build water toss "
    "juggle"
)
LIFTING = _set("hold raise lift lower dangle")
# Of these, a place says where to and not where: "looking to the left", "driving to the left".
GAZING = _set("look gaze stare glance peer point")
LOOKING = GAZING | _set(
    "pan face turn head lean tilt bend bent shift veer steer aim curve gesture swipe scroll slant angle leant"
)
MOVING = _set(
    """
    walk move run drive fly drift swim swerve travel sail go march dash race sprint jog ride cycle skate gallop stroll
    hike
    """
)

# --- Nouns and their neighbours ---------------------------------------------------------------------------------------

HERDS = _set("sheep fish deer cattle police")  # one or several
PARENTS = _set("mother father mama papa baby")
PLURAL_WORDS = _set("people teeth skis taxis")
# Plurals that begin the name of one thing: "a red sports car".
PLURAL_FIRST = _set(
    """
    customs gas canvas christmas atlas texas vegas chaos cosmos sports clothes arms goods news
    savings sales jeans games brass glasses swiss mars james physics
    """
)
# "a tv set", but "a table set for two".
SETS = _set(
    """
    tv television train tea chess drum tool dining film movie stage swing bedroom furniture
    dinner game lego knife play makeup jet
    """
)
# Two nouns that are one thing.
PAIRS = {
    ("fish", "chips"), ("mac", "cheese"), ("macaroni", "cheese"), ("salt", "pepper"), ("bread", "butter"),
    ("bacon", "eggs"), ("ham", "eggs"), ("butter", "jelly"), ("surf", "turf"), ("gin", "tonic"), ("rice", "beans"),
    ("milk", "cookies"),
    ("cookies", "milk"), ("cookies", "cream"), ("wine", "cheese"), ("rock", "roll"), ("bed", "breakfast"),
    ("meat", "potatoes"),
    ("spaghetti", "meatballs"), ("chips", "salsa"), ("strawberries", "cream"), ("bow", "arrow"), ("hammer", "sickle"),
}  # fmt: skip
# Adjectives, as WordNet does not know.
COLOURS = _set("navy gold silver orange cream ivory")
HUES = _set("red green blue yellow orange purple pink brown black white grey gray gold silver teal bright")
LINKING = BE | _set("stay remain look seem appear")
# Verbs that take a bare thing in a list of tags, "holding umbrella", and those that are said of where one is.
CARRYING = _set("hold wear carry contain ride eat play")
STAYING = _set("sat stood lay parked seated moored anchored placed perched left standing sitting waiting resting lying")
# What WordNet does not know of words.
OWN = {
    "lives": "zsm", "falls": "zsm", "mars": "n", "stays": "zsm", "boxers": "sp", "threads": "sz", "lit": "d",
    "scales": "s", "path": "n", "stage": "nvt", "wave": "nv", "swing": "nv", "step": "nv", "snow": "n",
    "fire": "n", "stairs": "s", "steps": "s", "rings": "sz", "hang": "vm", "cable": "n", "crossing": "n",
    "filling": "n", "topping": "n", "frosting": "n", "icing": "n", "drawing": "n", "engraving": "n",
    "etching": "n", "opening": "n", "coral": "n", "lens": "n", "news": "n", "sleeve": "nw", "waves": "sz",
    "freckles": "sb", "monitor": "nv", "armour": "nw", "armor": "nw", "rest": "nvm", "backpack": "nw", "handbag": "nw",
}  # fmt: skip
# Adverbs and the like, which a phrase does not end with.
LOOSE = _set(
    """
    deep open ajar high right far straight low close down so still back halfway midway there here forth
    ready somewhere then now half even half-way upside tall proud bit upright sideways forwards forward meanwhile
    """
)
# Where something moves to or along.
TOWARDS = _set("onto into to at toward towards from past")
PAST = _set("past at toward towards")
MOTION = _set("into onto through past along across toward towards")
MEASURES = _set(
    """
    metre metres meter meters foot feet inch inches cm centimeters centimetres km kilometers
    kilometres mile miles step steps yard yards pixel pixels m ft bit storey stories storeys
    floors
    """
)
QUANTITIES = _set("lot lots plenty load loads bit")  # "a lot of stress" is about stress
SOMEBODY = _set("someone somebody everyone everybody")
NOBODY = _set("space nobody nothing none noone anything anyone anybody")

# --- Pictures, and what is no thing in them -----------------------------------------------------------------------

HEADS = _set(
    """
    photo photograph photography picture image emoji painting drawing sketch illustration render
    rendering shot view close-up closeup portrait headshot icon snapshot scene depiction artwork
    watercolor watercolour postcard mosaic daguerreotype polaroid risograph panorama fresco
    linocut gouache pastel charcoal vignette storyboard panel cover woodcut engraving etching
    lithograph cartoon selfie footage still art poster print collage composition wallpaper
    screenshot mural diorama photos pictures images paintings illustrations comic anime logo
    design pixel-art
    """
)
# Pictures that are things among others: "a mural of a jaguar behind them".
HANGING = _set("mural poster print fresco mosaic tapestry")
# "a picture of a dog hangs above a sofa" is about the picture.
HUNG = _set("hangs hanging hung framed leans leaning mounted displayed propped")
# Places that hold things: "a room with a lamp left of a bed" is about the lamp.
SCENES = HEADS | _set(
    """
    room ballroom classroom courtroom showroom playroom boardroom tearoom barroom kitchen bedroom bathroom
    office street field garden landscape beach park forest scene city town village sky desert meadow yard world
    interior exterior environment setting backdrop background foreground night day morning evening sunset
    sunrise dawn dusk floor lawn courtyard cafe restaurant bar studio gallery museum library classroom hallway
    valley countryside harbor harbour market plaza square farm jungle
    """
)
# "a table with a cup left of a plate" is about the cup as well, but "a table with a cup on top" has its table.
SURFACES = _set(
    """
    table desk shelf counter tray sideboard dresser altar countertop bench nightstand windowsill mantel mantelpiece
    tabletop workbench
    """
)
# What holds what is at its bottom: "a pearl at the bottom of a lake".
HOLDING = _set(
    """
    lake sea ocean pond pool river well pit valley canyon ravine chest box glass cup mug bowl jar bag basket bucket
    barrel bottle aquarium tank fishbowl vase sink bathtub tub drawer trunk hole crater lagoon bay fjord cave chasm
    """
)
STYLE = _set(
    """
    ultra sepia
    solo duo chibi masterpiece quality lighting resolution bokeh hdr 4k 8k 2k 16k 85mm 50mm 35mm 24mm uhd detail details
    realism photorealistic hyperrealistic realistic cinematic sharp focus style aesthetic vibes background
    colors colours palette artstation trending exposure grain blur atmosphere mood detailed intricate octane
    unreal dslr raw render photography
    """
)
# With "the", the picture itself: "the left side of the image".
PICTURE = _set(
    """
    card image picture photo photograph frame scene shot composition view painting canvas screen page
    center centre middle top bottom foreground background
    """
)
NOT_THINGS = _set("other others rest")  # "one above the other"

# --- Objects that are none ---

# Parts of a body, which are where they are on every body; other names of parts are names of things as well.
BODY = _set(
    """
    head hair face eye ear nose mouth lip cheek chin forehead brow neck throat shoulder arm elbow wrist hand
    finger thumb torso waist hip lap leg thigh knee ankle foot feet toe skin beak tail back sleeve collar pocket
    lapel cuff hem brim paw fur mane breath
    """
)
POSSESSIVES = _set("my your his her its our their")
# Backdrops and what pictures are made on; with and without an article nothing rests on the second.
WEATHER = _set("mist fog haze smoke darkness shadow cloud dust")
TIMES = _set("morning afternoon evening night day noon dawn dusk time date moment")
BACKDROPS = _set("background backdrop backing canvas screen")
NOT_ON = _set(
    """
    front outside side cane crutch brink verge eve cusp netflix tv television phone camera film paper holiday vacation
    day night morning afternoon evening weekend occasion mission trip journey journal quest errand date diet set
    theme topic way internet radio chain leash break parchment vellum horizon artstation deviantart behance
    pinterest unsplash instagram youtube kodak monday tuesday wednesday thursday friday saturday sunday
    """
)
BARE_NOT_ON = _set(
    """
    fire display linen duty foot canvas horseback stage sale guard patrol strike board deck time demand command
    purpose white black grey gray green blue red edge top tiptoe tiptoes location air call loan trial parade
    drums bass guitar piano keys keyboard keyboards violin vocals washboard banjo
    """
)
NOT_AROUND = _set(
    "silence darkness world globe town corner clock block noon midnight house time place city country area year campus"
)
# After these "on" says of what, and not where: "focus on", "shot on film".
ABOUT = _set(
    """
    work focus depend base concentrate shoot shot film capture call turn put try print take spend bet feed count
    write written
    """
)

# --- Idioms ------------------------------------------------------------------------------------------------------

# Sayings with words of place in them, which say nothing of places.
SAYINGS = re.compile(
    r"(?:(?:shot|filmed|captured|taken|photographed)\s+on|behind\s+the\s+scenes?|(?:in|from)\s+the\s+middle\s+of\s+(?:nowhere|the\s+(?:night|day|week|winter|summer))"
    r"|(?:left|right)\s+of\s+cent(?:er|re)(?!\s+(?:stage|of))|behind\s+on|on\s+the\s+wing|(?:at|above|below)\s+eye[\s-]level|under\s+new\s+management|(?:an?\s+)?near\s+miss(?:es)?|once\s+upon\s+a\s+time|under\s+(?:his|her|its|their)\s+breath|(?:is|are|was)\s+beneath\s+(?:me|you|him|her|them)|among\s+other\s+things|around\s+the\s+(?:clock|world|corner)|over\s+and\s+over|on\s+and\s+off|on\s+the\s+"
    r"(?:go|run|move|phone|verge|lookout|loose|rise|job|other\s+hand|way|fly|spot|market|menu|clock|road\s+again)"
    r"|on\s+top\s+of\s+(?:that|it\s+all|the\s+world)|above\s+all|over\s+the\s+(?:moon(?=\s+(?:about|with|at))|hill|top|counter)|face\s+(?:down|up)|under\s+the\s+weather"
    r"|inside\s+out|head\s+over\s+heels|over\s+and\s+above|on\s+(?:his|her|its|their|my|your|all)\s+"
    r"(?:own|way|behalf|fours|knees|toes|tiptoes|feet|hands|side|stomach|belly|back|luck)"
    r"|at\s+the\s+(?:top|bottom)\s+of\s+(?:his|her|its|their)\s+\w+|between\s+the\s+lines|between\s+a\s+rock\s+and\s+a\s+hard\s+place|above\s+board"
    r"|on\s+(?:a\s+roll|standby|pointe)|under\s+a\s+deadline|on\s+(?:a|the)\s+budget)(?![\w'’-])"
)
# Objects that make an idiom of the relation: without an article, and with "the" or without.
BARE_IDIOMS = _set(
    """
    matter average par way passage construction control pressure attack arrest repair time age
    zero all year freezing nothing budget schedule bars death future miss ground water deck
    cover siege charge wheel minutes seconds itself himself herself themselves sight joke out
    limits reason reach midnight noon jobs completion perfection perfect standard standards
    normal guidance command inspection review investigation duress wraps curtains fire easy
    takes oath lockdown tears quarantine stress strain threat observation warranty contract
    license acts meals classes shifts seasons friends heels range estimate estimates question
    doubt consideration lights hours days months weeks contempt suspicion expectations beyond
    light lighting night backwards heaven
    """
)
IDIOMS = _set(
    """
    course impression spell charts competition assumption radar wind surveillance extinction top
    years weather scenes influence circumstances conditions supervision direction moment point
    law camera viewer rain sunlight moonlight sunshine daylight times distance guise name title
    auspices world stress pressure
    """
)
# The same with words before it: "within walking distance".
FIGURATIVE = _set(
    """
    surveillance name weight extinction distance conditions circumstances lighting daylight
    sunlight moonlight supervision stress pressure
    """
)
# "over 100 years" is no relation, "over 3 houses" is.
COUNTED = _set("year years hours days minutes months weeks seconds times percent degrees pounds dollars")
# "the difference between a frog and a toad"
BETWEEN_IDEAS = _set(
    """
    handshake treaty truce rivalry game argument tension correlation difference cross
    relationship battle fight contrast connection link conversation balance comparison bond
    friendship love mix hybrid choice transition match war duel contest race blend mixture clash
    deal agreement similarity distinction
    """
)
# After these words "above", "right" and the like are no relation: "from above", "the right of way".
NOT_BEFORE = _set("of from a an the my your his its our their no any this that")
# And "over" is none after these: "all over", "handing over".
NOT_BEFORE_OVER = NOT_BEFORE | _set(
    """
    all left take taking took taken turn turned turning hand hands handing handed pulling pulled
    giving won winning thinking talking fighting arguing boiling crying knocked tripping bending
    game
    """
)
