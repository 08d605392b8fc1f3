"""Word lists of the grammar of captions: closed classes, and words with a meaning of their own in a caption."""

from __future__ import annotations

from typing import Final


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


COUNTS: Final = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
VAGUE_COUNTS: Final = _set("several many numerous multiple few dozens hundreds")
PAIRS: Final = _set("pair couple")
COLOURS: Final = _set(
    """black white grey gray red orange yellow green blue purple pink brown beige tan golden gold silver maroon navy
    turquoise teal violet cream ivory crimson magenta cyan khaki olive lilac lavender blonde blond brunette
    colourful colorful multicoloured multicolored"""
)
SAME_COLOUR: Final = {
    "gray": "grey", "golden": "gold", "violet": "purple", "turquoise": "teal", "tan": "beige", "cream": "beige",
    "crimson": "red", "blond": "blonde", "colorful": "colourful", "multicolored": "multicoloured", "navy": "blue",
    "maroon": "red", "cyan": "blue", "lilac": "purple", "lavender": "purple", "magenta": "pink",
}  # fmt: skip
SHADES: Final = _set("dark light bright pale deep")
MATERIALS: Final = _set(
    """wood wooden metal metallic plastic glass stone brick leather paper rubber porcelain ceramic concrete steel iron
    cloth fabric cotton wool wicker straw clay cardboard marble fur bamboo rope copper brass aluminium aluminum denim
    silk foam wax ice sand tile bronze granite velvet
    linen chrome tin"""
)
SAME_MATERIAL: Final = {"wooden": "wood", "metallic": "metal", "aluminum": "aluminium"}
# Modifiers that say nothing that can be checked.
EMPTY: Final = _set(
    """other another same such various different certain main visible single own main whole entire overall first second
    third next last more most several many few some any all both each every another lot apparent"""
)
DETERMINERS: Final = _set(
    "a an the this that these those another any each every its his her their our your my some all both"
)
POSSESSIVES: Final = _set("his her its their")
DEFINITE: Final = _set("the this that these those its his her their both")
PRONOUNS: Final = _set(
    "it he she they him them this that these those one ones others who which someone somebody we us you i me"
)
PERSONS: Final = _set("he she him her")
PLURAL_PRONOUNS: Final = _set("they them these those")
COPULAS: Final = _set("is are was were be being been am 's 're")
AUXILIARIES: Final = _set("has have had does do did can will would")
HEDGES: Final = _set(
    """might may maybe perhaps possibly probably likely could seems seem seemingly appears appear apparently presumably
    suggests suggesting suggest suggested implying implies imply indicating perhaps should potentially unclear unsure
    uncertain"""
)
NEGATIONS: Final = _set(
    """no not never none neither nor nothing nobody cannot n't isn't aren't doesn't don't can't wasn't weren't didn't
    hardly unable"""
)
ADVERBS: Final = _set(
    """very mostly mainly partly also too just really quite rather still only almost clearly here now then together
    apart alone away up down visible else well approximately about exactly actually definitely currently slightly there
    closely nearby around out back directly both gently happily peacefully carefully somewhat neatly fully partially"""
)
# The longest first; "_" stands for a space.
_PREPOSITIONS: Final = _set(
    """past before in_front_of near_the_edge_of on_top_of next_to close_to in_between to_the_left_of to_the_right_of
    out_of in_the_middle_of on_the_left_side_of on_the_right_side_of in_the_center_of in_the_centre_of at_the_top_of
    at_the_bottom_of on_the_side_of at_the_edge_of on_the_edge_of in_the_corner_of on_the_back_of on_the_left_of
    on_the_right_of at_the_end_of on_the_other_side_of at_the_side_of on_the_top_of in_the_back_of on_each_side_of
    on_either_side_of on_both_sides_of along_the_side_of by_the_side_of at_the_base_of at_the_foot_of
    on_the_front_of along_with such_as as_well_as up_to away_from off_of inside_of outside_of due_to because_of in
    on at under underneath below beneath behind beside near above over between among amongst by with against around
    along across inside outside into onto through from to of off towards toward like for as during down alongside
    atop upon beyond amid amidst surrounding featuring including containing per within without"""
)
PREPOSITIONS: Final = tuple(sorted((tuple(one.split("_")) for one in _PREPOSITIONS), key=len, reverse=True))
# Prepositions that say nothing of where a thing is.
NO_RELATION: Final = _set("of for as like to from during per due because such about by out into with")
PLACE_PREPOSITIONS: Final = _set("on at in to near towards toward along from")
PLACE_WORDS: Final = {
    "left": "left", "right": "right", "top": "top", "bottom": "bottom", "upper": "top", "lower": "bottom",
    "middle": "middle", "center": "middle", "centre": "middle", "foreground": "foreground",
    "background": "background", "distance": "background", "left-hand": "left", "right-hand": "right",
    "lefthand": "left", "righthand": "right", "backdrop": "background",
}  # fmt: skip
PLACE_ORDER: Final = ("foreground", "background", "top", "bottom", "left", "middle", "right")
PLACE_FILLERS: Final = _set("the far very hand side corner half part edge area portion section and third")
PICTURE: Final = _set(
    """picture image photo photograph pic scene frame shot view video painting's snapshot photography composition
    caption description picture's image's"""
)
# Words in the position of a noun that name no thing in the picture.
NO_THINGS: Final = PICTURE | _set(
    """foreground background left right middle centre center top bottom side corner front back edge thing object item
    stuff something anything nothing everything kind type sort lot part colour color shape size way distance
    time question answer idea unknown none rest number what other outdoors indoors outside inside detail details
    surroundings setting variety lots bit surface position atmosphere mood sense feeling ambiance ambience day night
    daytime nighttime front close-up closeup focus style lighting impression appearance presence arrangement addition
    contrast depth touch moment attention fact case condition end place area location environment subject main one ones
    weather season viewer soccer tennis golf hockey rugby cricket somewhere anyone everyone camera's overall letter word
    text writing words letters evening morning afternoon there later nearly"""
)
# "a picture of a dog" is about the dog.
TRANSPARENT: Final = _set("kind type sort close-up closeup depiction portrait painting drawing variety") | PICTURE
GROUPS: Final = _set(
    "group herd flock bunch pair couple row set stack crowd swarm collection number lot lots pile series line variety"
)
SHOWS: Final = _set("show depict feature capture display contain include portray present have see illustrate reveal")
HAS: Final = _set("have has had feature contain include")
WRITES: Final = _set("say says read reads reading saying written titled labelled labeled named called")
POSTURES: Final = _set("sit stand lie lay rest hang lean kneel crouch perch sitting sleep")
LOCATED: Final = _set(
    """park locate place situate see position hang hung mount display find set stack line arrange gather show leave seat
    depict picture scatter spread put capture attach visible"""
)
COVERED: Final = _set("top cover fill surround decorate adorn line wrap load pack dot")
# What these look or point at need not be in the picture.
GAZED: Final = _set("at for to into towards toward with")
GAZES: Final = _set("look stare gaze wait pose point smile talk speak listen think watch")
BUILT: Final = _set("make build construct carve")
TOUCHES: Final = _set("bit touch hint splash little bits touches hints splashes accents")
NO_ACTIONS: Final = _set("include feature show contain depict have be seem appear create add make consist use suggest")
WHERE: Final = {
    "outdoors": "outdoors", "outdoor": "outdoors", "outside": "outdoors",
    "indoors": "indoors", "indoor": "indoors", "inside": "indoors",
}  # fmt: skip
VISIBLE: Final = _set("sunset sunrise rainbow shadow light fire food graffiti text")
# Words of two nouns that WordNet 3.0 does not have.
PAIRED: Final = frozenset(
    {"stop sign", "street sign", "potted plant", "tennis racket", "soccer ball", "surf board", "hot dog", "cell phone",
     "traffic light", "tennis court", "polar bear", "baseball bat", "remote control", "train station", "hair drier",
     "hair dryer", "baseball player", "tennis player", "double decker", "polo shirt", "swim suit", "office chair",
     "drum set", "french fry"}
)  # fmt: skip
NEVER_VERBS: Final = _set("leaves fries glasses pants shorts flies")
NOUNS_IN_ING: Final = _set(
    """building ceiling painting ring king string thing wing clothing railing morning evening sling spring swing
    pudding awning lightning earring wedding herring duckling dumpling sibling piping gosling seedling starling
    sapling icing topping dressing stuffing crossing landing drawing lining lettering writing bunting ping
    sting outing filling frosting packing viking darling parking dining living swimming washing writing"""
)
