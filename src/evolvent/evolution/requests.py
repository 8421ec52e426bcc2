"""Whether an English text asks for something."""

import re

from evolvent.words import words

# Words that begin what asks for something.
REQUESTS = frozenset(
    """
    abbreviate act adapt add adjust advise alter anagram analyse analyze annotate answer apply appraise approximate
    argue arrange ask assemble assess assign assist assume automate blend bold brainstorm build calculate capitalize
    caption catalog categorize censor change characterize check choose cite clarify classify clean click code
    collect combine come comment compare compile complete compose compress compute concatenate conclude condense
    conduct conjugate connect consider construct consult continue contrast convert correct correlate count craft
    create critique crop cut date debate debug decide decode decrypt deduce deduct define delete deliver demonstrate
    derive describe design detect determine develop devise diagnose differentiate discover discuss display disprove
    distill distinguish diversify divide do download draft draw edit elaborate eliminate email embed employ emulate
    enable encode encrypt enhance enlist enter enumerate establish estimate evaluate examine execute expand explain
    explore export express extend extract fact-check factor factorize fetch figure fill filter find finish fit fix
    flip follow forecast form formalize format formulate fuse generate give greet group guess guide hash help
    highlight hold host hypothesize identify illustrate imagine imitate implement import improve include indicate
    infer initialize insert integrate interpret introduce invent invert investigate itemize join jot judge justify
    keep label learn let link list load locate log look make map mark match maximize measure meet mention merge
    minimize mix model modify monitor multiply name narrate negate normalize note number offer open optimize order
    organize outline output paint pair paraphrase parse pass perform pick pitch plan play plot point populate pose
    post practice praise predict prefix prepare present preserve pretend print prioritize process produce program
    promote prompt pronounce proofread propose prove provide pull punctuate put query question quote randomize rank
    rate read rearrange recall recap recite recommend reconstruct record recount recreate rectify redact redesign
    reduce refactor refer reflect reformat reformulate reframe regenerate relate relay remove rename render reorder
    repeat rephrase replace reply report represent request research resolve respond restate retell retrieve return
    reverse review revise revisit reword rewrite rhyme role-play roleplay rotate round run say scale scan schedule
    score scramble scrape search segment select send separate sequence serialize serve set share shift shorten show
    shuffle simplify simulate sing sketch slice solve sort speak specify speculate spell split stack start state
    store strip structure study style submit substitute subtract suggest sum summarise summarize suppose swap switch
    synthesize tabulate tag take tally teach tell test think throw trace track train transcribe transform translate
    trim troubleshoot try tune turn tweet type typecast unscramble update upload use using utilize validate vary
    verify view visit visualize watch weigh work wrap write
    """.split()  # noqa: SIM905
)
# "Please also help me to …"
_BEFORE_A_REQUEST = frozenset("please also and or to kindly just let's help me us re".split())  # noqa: SIM905
_ASKING = re.compile(
    r"\?|=\s*\Z|\A\W*(?:how (?:much|many|long|far|old)|what(?: is|['’]s| are| was))\b"
    r"|, how (?:much|many) (?:\w+ ){1,3}(?:do|does|did|is|are|was|would|will)\b"
    r"|\b(?:in|to|for|from|by) which \w+ (?:do|does|did|is|are|was)\b"
    r"|\b(?:who|what|where) (?:is|was) the\b.*(?<![.!:])\Z"
    r"|\b(?:your (?:task|job|goal|answer|response|essay|output)|answer (?:must|should)|(?:can|could|would|will) you)\b"
    r"|\byou(?:['’]re| are) (?:to|asked|given|tasked)\b|\b(?:i|we)(?:['’]d| would) like\b|\bi['’]m looking for\b"
    r"|\bi (?:want|need) (?:you|to|a|an|help)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"\A\W*(?:(?:what|who|whom|whose|which|why|where|how)\b|(?:can|could|should|would|will) \w"
    r"|when (?:is|are|was|were|do|does|did|will)\b"
    r"|(?:is|are|was|were|do|does|did|has|have) (?:it|there|this|that|these|the|an?|i|you|we|they|he|she)\b)",
    re.IGNORECASE,
)
# "If x + 2 = 7, then find x."
_PROBLEM = re.compile(
    r"\A\W*(?:if|given|suppose|assume|let|below|consider|you (?:need|have|must|should|are|will|want))\b"
    r".*?\b(?:find|evaluate|compute|determine|calculate|identify|return|write|make|name|what|which|how|read)\b",
    re.IGNORECASE | re.DOTALL,
)
# What stands behind a formula may begin with a request.
_FORMULA = re.compile(
    r"\$(?! )[^$\n]{0,500}(?<! )\$(?!\d)|\\\[.{0,500}?\\\]|\\\(.{0,500}?\\\)|\\begin\{.{0,2000}?\\end\{[^}\n]{0,40}\}",
    re.DOTALL,
)
_ITEM = re.compile(r"(?m)^[ \t]*(?:[-*•]|\d+[.)]|step \d+\W)[ \t]+.*$", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?;:。？！])\s+|\n+")
_CLAUSE = re.compile(r"[.!?;:,()\[\]\"“”'‘—–]+|\s-\s")

# Requests stand at the beginning of a text, or at its end, behind what they are about.
FIRST, LAST = 2, 3
# They are looked for in so many characters at either end.
LOOKED_AT = 4_000


def asks(text: str) -> bool:
    """Whether a text asks for something: a question, a word of request that begins a clause, or words to the reader.

    Only its first and last sentences count, and no items of lists: an answer holds such words, too.
    """
    if len(text) > 2 * LOOKED_AT:
        text = f"{text[:LOOKED_AT]}\n{text[-LOOKED_AT:]}"
    text = _FORMULA.sub(" ; ", text)
    sentences = [sentence for sentence in _SENTENCES.split(_ITEM.sub("", text)) if sentence.strip()]
    looked_at = sentences if len(sentences) <= FIRST + LAST else [*sentences[:FIRST], *sentences[-LAST:]]
    if _QUESTION.match(text) or _PROBLEM.match(text):
        return True
    return any(_ASKING.search(sentence) or _begins_a_request(sentence) for sentence in looked_at)


def _begins_a_request(sentence: str) -> bool:
    for clause in _CLAUSE.split(sentence.casefold()):
        begun = [word for word in words(clause)[:4] if word not in _BEFORE_A_REQUEST]
        if begun and begun[0] in REQUESTS:
            return True
    return False
