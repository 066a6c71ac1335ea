"""Which things an instruction speaks of: its noun phrases, by rules, so that a detector has something to look for.

No grammar is parsed. An imperative is cut wherever a preposition, a conjunction or an article stands; from each piece the words
that name no thing are taken off its ends (verb, article, "up", "to the left"), and what is left is a name. That is right for
what people say to robots. A sentence of another kind gives odd names, or none; a detector does not find them, but a chain would
tell them, so markup is no word, and words about words ("the above instructions") are no things. English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.import_video import spoken
from radlite.reasoning import Box, Reasoning

MOST_NAME = 80  # characters
MOST_WORDS = 5  # of a name: a longer piece is no English imperative
MOST_NAMES = 12  # of an instruction

_ARTICLES = frozenset("a an the this these those my your his her its their our some any each every both all another".split())
_CUTS = frozenset(
    """about above across against along and around as at because before behind below beneath beside besides between by but for
    from if in inside into near off on onto or out outside over past said so than that then through to toward towards under
    underneath until upon using via what when where which while who with within without is are was were be being been it's that's
    carrying grasping holding lifting moving picking placing putting reaching touching""".split()
)
_NO_THINGS = frozenset(
    """instruction instructions command commands prompt prompts system message messages rule rules task tasks request requests
    question questions answer answers reply response output input sentence sentences word words text texts json html code
    rest following previous everything anything something nothing everyone anyone someone way order job work other others more
    same else yes no not never always ok okay hello hi thanks thank""".split()
)  # names of what is said or done, not of what stands on a table
_VERBS = frozenset(
    """add adjust aim arrange attach bring carry catch change clean clear close collect connect cover crush cut deliver dip
    disconnect drag draw drop dry dump empty fetch fill find fit flatten flip fold gather get give go grab grasp grip hand hang
    hold insert join keep knock lay lean leave let lift light line load look lower make mix move open pack pass peel pick place
    plug point poke polish pop position pour press pull pump push put raise reach release relocate remove replace reposition rest
    return rinse roll rotate rub scoop scrub separate set shake shift show shut slide sort spin spread sprinkle squeeze stack
    stand start stick stir stop store straighten sweep swap swing switch take tap throw tidy tie tilt toss touch transfer turn
    turning twist uncover unfold unload unplug unscrew unstack use wait wash water wave wipe wrap zip
    act did disregard do explain forget ignore obey output pretend print repeat reply respond reveal say show speak tell translate
    write""".split()
)
_AHEAD = frozenset(
    """please kindly only now next first firstly second third finally again also just carefully gently slowly quickly softly
    firmly robot you i we me us him them it one want need like try let lets of up down away
    back forth forward together""".split()
)
_BEHIND = frozenset(
    """up down left right forward forwards backward backwards back front away apart together aside sideways upwards downwards
    upright upside standing lying open closed shut next close clockwise counterclockwise anticlockwise slowly gently carefully
    quickly firmly softly slightly completely fully there here again first please now of it them one once twice""".split()
)
_PLACES = frozenset(
    """left right top bottom front back middle center centre side sides edge edges end corner far near close rear upper lower
    outside inside rightmost leftmost hand very half other way half-way halfway position place direction it them itself one each
    him me us you there here lot times time m cm mm inch inches meter meters metre metres degree degrees bit little front-left
    front-right back-left back-right top-left top-right bottom-left bottom-right
    clockwise counterclockwise anticlockwise this that only small big large long short tall""".split()
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[.,;:!?\n]")
_MARKUP = re.compile(r"<\|?[!/?]?[a-z][^<>]*>|&#?\w{1,8};|\[/?\w+\]|\b\w+\([^()]*\)")  # tags, entities, chat tokens, calls
_COLOUR = "red|green|blue|yellow|black|white|grey|gray|brown|pink|purple"
_POLITE = re.compile(r"\b(?:can|could|would|will) (?:you|we|i)\b")
_TWO_COLOURS = re.compile(rf"\b({_COLOUR}) and ({_COLOUR})\b(?! (?:and|on|in|to)\b)")


def object_names(instruction: str) -> tuple[str, ...]:
    """The things that an instruction names, in the order of their first mention.

    `object_names("put the blue tape on the white plate")` is `("blue tape", "white plate")`.

    Args:
        instruction: English, as one speaks to a robot. Anything else is no error.

    Returns:
        Lower-case names without articles, each once, at most `MOST_NAMES`; () where nothing was recognised. Each can stand as
        the name of a box in a chain.
    """
    plain = _MARKUP.sub(" ", instruction[:2000].casefold())
    text = _TWO_COLOURS.sub(r"\1-and-\2", _POLITE.sub("please", plain))
    names = dict.fromkeys(filter(None, map(_name, _pieces(text))))
    return tuple(names)[:MOST_NAMES]


def checked_name(name: str) -> str:
    """A thing's name as it can stand in a chain, without spaces at its ends.

    Raises:
        RadliteError: what is no instruction is no name either (see `spoken`); nor is a number, more than `MOST_NAME` characters,
            or a bracket.
    """
    fix = "call it by a few plain words, such as 'red can'"
    if not isinstance(name, str) or len(name) > MOST_NAME:
        raise RadliteError(f"a thing's name of at most {MOST_NAME} characters", quoted(name), fix)
    try:
        name = spoken(name)
        Reasoning(bboxes=(Box(name, (0, 0, 0, 0)),)).validate()
    except RadliteError as error:
        raise RadliteError("a thing's name that can stand in a chain", f"{error.found} in {quoted(name)}", fix) from error
    return name


def _pieces(text: str) -> Iterator[tuple[list[str], bool]]:
    """The words between two cuts, and whether a verb may lead them: where no article does."""
    piece, article = [], False
    for word in _WORD.findall(text):
        cut = word in _CUTS and not (word == "that" and not piece)
        if cut or word in _ARTICLES or word.isdecimal() or not word[0].isalnum():
            # an article right behind words: they were the verb and what belongs to it ("pick up THE can")
            yield piece if article or word not in _ARTICLES else [], article
            piece, article = [], word in _ARTICLES
        else:
            piece.append(word)
    yield piece, article


def _name(piece: tuple[list[str], bool]) -> str:
    """What a piece names; "" for nothing."""
    words, article = piece
    if not article:
        words = _without_verb(words)
    words = words[words[:1] == ["of"] :]
    words = _of_a_place(words)
    while words and words[-1] in _BEHIND:
        words = words[:-1]
    if all(w in _PLACES or w in _BEHIND for w in words) or len(words) > MOST_WORDS or words[-1] in _NO_THINGS:
        return ""
    name = " ".join(words).replace("-and-", " and ")
    return name if len(name) <= MOST_NAME else ""


def _without_verb(words: list[str]) -> list[str]:
    """Words behind a verb and what stands around it; a lone verb, as in "wait" and "turn on the lamp", leaves nothing."""
    seen = False
    while words and (words[0] in _AHEAD or (words[0] in _VERBS and not seen)):
        seen = seen or words[0] in _VERBS
        words = words[1:]
    return words


def _of_a_place(words: list[str]) -> list[str]:
    """ "left side of bowl" -> "bowl"; a "cup of tea" stays what it is."""
    if "of" in words:
        at = words.index("of")
        if all(w in _PLACES for w in words[:at]):
            return words[at + 1 :]
    return words
