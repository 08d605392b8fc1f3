"""Word lists of the parser: closed classes complete, open ones as far as an interview needs them.

A word in none of these lists counts as part of a name ("axolotl", "espresso maker"), so the lists of words that are NOT
names are long.
"""

from __future__ import annotations

from typing import Final


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


COLOURS: Final = _set(
    """black white grey gray red orange yellow green blue purple pink brown beige tan golden gold silver maroon navy
    turquoise teal violet cream ivory crimson magenta cyan khaki olive lilac lavender"""
)
SHADES: Final = _set("dark light bright pale deep")
COUNTS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
ESTIMATES: Final = _set("about approximately roughly")  # before a number
NUMBERS: Final = {
    **{word: word for word in (*COUNTS[1:], "many", "several", "some", "few", "dozens")},
    **{str(value): word for value, word in enumerate(COUNTS)},
}
SIZES: Final = _set("big small large little tiny huge tall short long giant thin thick wide narrow")
MATERIALS: Final = _set(
    """wood wooden metal plastic glass stone brick leather paper rubber porcelain ceramic concrete steel iron cloth
    fabric cotton wool wicker straw clay cardboard marble fur feathers bamboo rope copper brass aluminium aluminum
    tile denim silk foam wax ice sand gold silver"""
)
ADJECTIVES: Final = (
    SIZES
    | (MATERIALS - _set("glass paper ice sand rope fur feathers straw cloth clay iron brass"))
    | _set(
        """old young new beautiful pretty round square flat woven striped spotted furry fluffy shiny blurry clear sunny
        cloudy cute happy sad empty full open closed colorful colourful antique vintage modern dirty clean fresh ripe
        lovely nice bare busy quiet wet dry main male female adult single different various plain bald smiling
        blurred grassy snowy sandy rocky dusty dense lush soft hard cartoon elderly grown rectangular oval"""
    )
)
DETERMINERS: Final = _set("a an the this that these those another other any both each its his her their our your no")
ADVERBS: Final = _set(
    """very mostly mainly partly also too just really quite rather still only perhaps maybe possibly probably likely
    almost clearly there here now then together apart alone again away up down visible else well as what appears
    approximately about around exactly at least actually definitely currently slightly"""
) - _set("about around at as what appears least")
PRONOUNS: Final = _set("it they he she them him i you we one's who which that what someone everyone both")
COPULAS: Final = _set("is are was were 's 're be being been seems seem looks look appears appear")
FINITE: Final = _set(
    """shows show contains contain features feature has have had depicts displays includes sits sit stands lies wears
    wear holds hold looks seems appears runs walks flies hangs rides plays eats consists sees see can could may
    might will would do does did"""
)
PARTICIPLES: Final = _set(
    """parked seated placed located perched covered filled surrounded dressed stacked lined attached mounted tied
    wrapped decorated topped arranged scattered gathered stuck painted hung laid made shown seen"""
)
NOUNS_IN_ING: Final = _set(
    """building ceiling painting ring king string thing wing clothing railing morning evening sling spring swing
    pudding awning lightning earring wedding herring duckling dumpling sibling piping gosling seedling starling
    sapling icing topping dressing stuffing crossing landing drawing lining lettering writing bunting ping
    sting outing filling frosting packing viking darling"""
)
PREPOSITIONS: Final = (
    "in front of", "on top of", "next to", "close to", "in between", "to the left of", "to the right of", "out of",
    "in the middle of", "on the left side of", "on the right side of", "in the center of", "in the centre of",
    "at the top of", "at the bottom of", "on the side of",
    "at the edge of", "on the edge of", "in the corner of", "on the back of", "on the left of", "on the right of",
    "at the end of", "on the other side of", "at the side of", "on the top of", "in the back of",
    "in", "on", "at", "under", "underneath", "below", "beneath", "behind", "beside", "near", "above", "over", "between",
    "among", "by", "with", "without", "against", "around", "along", "across", "inside", "outside", "into", "onto",
    "through", "from", "to", "of", "off", "towards", "toward", "like", "for", "as", "about",
)  # fmt: skip
# Words in the position of a name that name nothing to ask about.
NO_THINGS: Final = _set(
    """picture image photo photograph pic scene background foreground left right middle centre center top bottom side
    corner front back edge view thing object item stuff something anything nothing everything kind type sort lot part
    colour color shape size way distance shot closeup close-up time question answer idea unknown none rest number it
    them yes no not sure person's frame half area answerer what different place outdoors indoors outside inside
    detail surroundings setting other variety lots bit surface position clothes clothing"""
)
# "a picture of a dog" is about the dog.
TRANSPARENT: Final = _set(
    "picture image photo photograph pic view close-up closeup shot kind type sort scene painting's depiction portrait"
)
QUANTITIES: Final = {"couple": "two", "lot": "many", "lots": "many", "number": "several", "variety": "several"}
GROUPS: Final = _set("group herd flock bunch pair pile row set stack crowd swarm collection litter")

HUMANS: Final = _set(
    """person people man woman men women boy girl child children kid kids baby lady guy player rider surfer skier
    skateboarder chef soldier astronaut human couple crowd bride groom ballplayer diver worker officer girlfriend"""
)
ANIMALS: Final = _set(
    """animal bird cat dog kitten puppy horse cow sheep goat pig donkey zebra giraffe elephant bear lion tiger leopard
    cheetah monkey ape gorilla chimpanzee rabbit hare fox wolf deer moose camel dromedary kangaroo koala panda squirrel
    mouse rat hamster hedgehog duck goose swan hen rooster chicken turkey penguin owl eagle parrot crow pigeon seagull
    flamingo heron peacock ostrich robin finch fish shark whale dolphin seal goldfish frog toad turtle tortoise lizard
    snake crocodile alligator spider bee butterfly insect ant beetle fly dragonfly moth snail crab lobster octopus
    terrier retriever spaniel hound shepherd collie poodle setter mastiff pinscher husky corgi pug beagle chihuahua
    llama alpaca bison buffalo ox bull calf lamb foal pony otter beaver badger raccoon skunk weasel lynx jaguar cougar
    sparrow magpie jay wren hawk falcon vulture pelican stork crane woodpecker hummingbird toucan salamander gecko
    iguana chameleon ladybug ladybird grasshopper cricket mantis wasp hornet caterpillar worm slug starfish jellyfish
    seahorse kid duckling chick gosling piglet cub tabby zebu lemur baboon orangutan sloth hippopotamus rhinoceros
    walrus hyena meerkat mongoose guanaco vicuna warthog boar gazelle antelope impala ibex ram mule stingray ray trout
    salmon eel pufferfish clownfish lionfish ferret mink marmot porcupine armadillo bat bulldog dalmatian"""
)
ARTEFACTS: Final = _set(
    """chair table cup mug basket ball toy car truck bus bench bed couch sofa lamp clock vase bowl plate bottle box bag
    backpack hat shirt coat dress shoe boot umbrella kite skateboard surfboard boat ship train bicycle bike motorcycle
    airplane fence gate door window wall house building bridge tower roof floor statue sculpture pot pan kettle spoon
    fork knife bucket barrel crate desk shelf cabinet drum guitar violin piano balloon basketball teapot pitcher
    ring chain helmet mask doll teddy sign pole cart wagon ladder rope candle tray jar blanket pillow rug curtain
    castle church cabin tent bell hammer key lock scissors watch necklace crown goblet"""
)
NATURE: Final = _set(
    """sky sea water grass ground sand snow tree forest field mountain hill beach river lake cloud sun moon ocean street
    road sidewalk plant bush leaf garden park wave rock desert meadow lawn hillside city room"""
)
UNIQUE: Final = _set("sky sea sun moon horizon")  # of which there is one
SCENERY: Final = NATURE | _set("building house")  # what may surround everything else
# General names that a specific one may replace, and the names they may refer to ("the animal" is the zebra).
GENERIC: Final = {
    "animal": ANIMALS, "bird": ANIMALS, "insect": ANIMALS, "person": HUMANS, "food": frozenset(),
    "vehicle": frozenset(), "fruit": frozenset(), "plant": frozenset(), "flower": frozenset(), "toy": frozenset(),
    "tool": frozenset(), "instrument": frozenset(), "building": frozenset(), "machine": frozenset(),
}  # fmt: skip
# Names of a detector of things, and more exact names for the same.
KINDS: Final = {
    "person": HUMANS,
    "dog": _set(
        """terrier retriever spaniel hound shepherd collie poodle setter mastiff pinscher husky corgi pug beagle puppy
        chihuahua bulldog dalmatian schnauzer pomeranian samoyed malamute rottweiler dachshund greyhound whippet"""
    ),
    "cat": _set("kitten tabby"),
    "bird": _set(
        """duck goose swan hen rooster chicken turkey penguin owl eagle parrot crow pigeon seagull gull flamingo heron
        peacock ostrich robin finch sparrow magpie jay wren hawk falcon vulture pelican stork crane woodpecker toucan
        hummingbird duckling chick macaw cockatoo egret"""
    ),
    "horse": _set("foal pony"),
    "sheep": _set("ram lamb ewe"),
    "cow": _set("bull calf ox bison buffalo cattle"),
    "bear": _set("panda"),
    "car": _set("taxi cab convertible limousine jeep minivan wagon racer suv sedan"),
    "truck": _set("pickup van lorry"),
    "boat": _set("ship canoe kayak gondola yacht sailboat speedboat catamaran lifeboat"),
    "airplane": _set("plane jet airliner warplane aircraft"),
    "train": _set("locomotive tram streetcar"),
    "bicycle": _set("bike"),
    "motorcycle": _set("motorbike moped scooter"),
    "couch": _set("sofa settee"),
    "table": _set("desk"),
    "tv": _set("television monitor screen"),
    "phone": _set("cellphone smartphone telephone"),
    "laptop": _set("computer notebook"),
    "cup": _set("mug teacup goblet espresso coffee"),
    "glass": _set("goblet wineglass"),
    "ball": _set("basketball football baseball volleyball"),
    "plant": _set("flowerpot pot houseplant"),
    "handbag": _set("purse bag"),
    "backpack": _set("bag rucksack"),
    "suitcase": _set("luggage"),
    "clock": _set("watch"),
    "chair": _set("armchair stool"),
}  # fmt: skip
VAGUE: Final = _set("many several some few dozens")
WEATHER: Final = _set("sunny cloudy rainy snowy foggy windy overcast stormy misty clear")


def listed(parts: list[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
