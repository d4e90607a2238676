"""Short opinions of films with negation, contrast and hedges, made from word lists and templates.

In: the lists below, all written for this project, and a seed. Out: rows of text, label, kind and
words; `python -m train.patterns --out FOLDER` writes them as `train.jsonl` and `validation.jsonl`.
The two share no template. Half of the second's rows (words: new) share no opinion word with the
first either, the others (words: known) use its opinion words: what is hard shows, the pattern alone
or new words as well.

A template serves both labels; of its own words only those in square brackets give the verdict away:

    {word=}, {word!}   an opinion word of the row's polarity, and one of the opposite polarity
    [fine|foul]        the first in a positive row, the second in a negative one
    <one|another>      either, at random
    {part} {was} ...   what carries no opinion; a verb agrees with the last part before it
    {claim=}, {claim!} a whole clause with the row's verdict, and one with the opposite verdict
"""

import argparse
import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

LABELS = ("POSITIVE", "NEGATIVE")
ROWS = {"train": 50_000, "validation": 1_600}
Row = dict[str, str]
Words = tuple[str, ...]


def _words(text: str) -> Words:
    """The words of a list with commas, whose lines may be broken anywhere."""
    return tuple(" ".join(word.split()) for word in text.split(","))


def _lexicon(text: str) -> dict[str, dict[str, dict[str, Words]]]:
    """Split -> label -> list -> words, from paragraphs `split label list: words`."""
    lists: dict[str, dict[str, dict[str, Words]]] = {}
    for paragraph in re.split(r"\n(?! )", text.strip()):
        head, _, words = paragraph.partition(": ")
        split, label, name = head.split()
        lists.setdefault(split, {}).setdefault(label, {})[name] = _words(words)
    return lists


# soft: adjectives for a film or a part of one; their negation is a verdict as well.
# film: the same, for a whole film only. strong: adjectives that are not negated lightly.
# like: verbs (base/past) whose negation is a verdict; love: stronger ones.
# mild: nouns whose negation is a verdict; grand: stronger ones. closer: a second sentence.
WORDS = _lexicon(
    """
train POSITIVE soft: good, strong, clever, fresh, inventive, convincing, memorable, effective,
    impressive, stylish, original, imaginative, believable, engaging, likeable, charming,
    interesting, satisfying, pleasing, compelling, appealing, inspired, enjoyable, exciting, lively,
    amusing, warm, tender, graceful, crisp, vivid, polished, refreshing, sharp, subtle, sincere,
    powerful, solid, rich, quirky, playful, sweet, layered, atmospheric, suspenseful, authentic,
    hypnotic, energetic, unpredictable, crafty, luminous, earnest, brisk, zesty, wise, humane,
    honest, mature, focused, coherent, lovable, cute, adorable, beguiling, evocative, sumptuous,
    lavish, handsome, sleek, snappy, punchy, tense, dynamic, colourful, bold, daring, ambitious,
    innovative, insightful, perceptive, expressive, sophisticated, tasteful, competent, intriguing,
    pleasant, cheerful, upbeat, soulful, lyrical, seamless, careful, balanced, textured, robust,
    magnetic, addictive, resonant, timeless
train POSITIVE film: great, funny, witty, gripping, entertaining, touching, absorbing, watchable,
    heartfelt, intelligent, smart, rewarding, fun, worthwhile, thrilling, uplifting, well-made,
    haunting, heart-warming, fast-paced, feel-good, fine, nice, decent, rousing, inspiring, unique,
    ingenious, scary, romantic, sexy, cool, epic, meaningful, important, profound, quotable,
    rewatchable, life-affirming, edge-of-your-seat, spellbinding
train POSITIVE strong: excellent, fantastic, amazing, stunning, outstanding, terrific, awesome,
    superb, incredible, marvellous, sublime, dazzling, magnificent, extraordinary, first-rate,
    top-notch, phenomenal, glorious, exquisite, breathtaking, spectacular, unforgettable, hilarious,
    remarkable, irresistible, perfect, flawless, astonishing, electrifying, fabulous, impeccable,
    masterful, unmissable, jaw-dropping, priceless, unbeatable, grand, genius, divine, heavenly,
    wondrous, monumental, staggering, blistering, triumphant, best-in-class, out of this world,
    second to none, matchless, gorgeous, supreme, transcendent, kick-ass, killer, stupendous,
    ravishing, world-class
train POSITIVE like: like/liked, enjoy/enjoyed, warm to/warmed to, fall for/fell for, connect
    with/connected with, have fun with/had fun with, buy into/bought into, laugh along with/laughed
    along with, take to/took to, get caught up in/got caught up in, click with/clicked with, get a
    kick out of/got a kick out of, grow fond of/grew fond of, have a good time with/had a good time
    with, feel good about/felt good about, get a lot out of/got a lot out of, get hooked on/got
    hooked on, root for/rooted for, sink into/sank into, find joy in/found joy in, smile
    through/smiled through, care about/cared about, go along with/went along with, laugh at every
    joke of/laughed at every joke of, get into/got into, feel moved by/felt moved by, feel at home
    in/felt at home in, believe in/believed in, look forward to more of/looked forward to more of,
    get goosebumps from/got goosebumps from, have a ball with/had a ball with
train POSITIVE love: love/loved, adore/adored, cherish/cherished, praise/praised, applaud/applauded,
    marvel at/marvelled at, devour/devoured, rave about/raved about, recommend/recommended,
    embrace/embraced, dote on/doted on, champion/championed, thank heaven for/thanked heaven for,
    fall in love with/fell in love with, celebrate/celebrated, go crazy for/went crazy for,
    salute/saluted, prize/prized, lap up/lapped up, cheer for/cheered for
train POSITIVE mild: a treat, a pleasure, a joy, a success, a winner, a good time, a great night
    out, a must-see, a keeper, a gem, a thrill, a fine piece of work, a great watch, a real
    achievement, a film to remember, a hoot, a hit, a breath of fresh air, a crowd-pleaser, an
    eye-opener, a nice surprise, time well spent, a pleasant evening, a good laugh, a decent film, a
    step forward, a good idea, a worthy sequel, a safe bet, a bargain, a success story, a charmer, a
    page-turner on screen, good fun, money well spent, a solid piece of cinema
train POSITIVE grand: a masterpiece, a triumph, a classic, a knockout, a blast, a miracle, a jewel,
    a work of art, a stroke of genius, a home run, a feast, pure gold, pure joy, a total winner, a
    work of genius, perfection, a tour de force, a towering achievement, cinema at its best, the
    real thing, a marvel, an all-time great, a showstopper, a giant of its genre, one for the ages,
    a slam dunk, a bullseye, gold dust, film-making of the highest order
train POSITIVE closer: I'd watch it again tomorrow., Go and see it!, Worth every penny., Four stars
    from me., I came out smiling., You won't regret it., I wouldn't have missed it., I wasn't bored
    for a second., Ten out of ten., I'm so glad I went., Don't miss it.
train NEGATIVE soft: bad, weak, clumsy, dull, lazy, stale, sloppy, lame, flat, lifeless, stilted,
    unconvincing, forgettable, predictable, cheap, tacky, forced, contrived, shallow, messy,
    irritating, annoying, silly, stupid, corny, disappointing, pointless, uninspired, unimaginative,
    awkward, muddled, derivative, amateurish, generic, grating, bland, hollow, cheesy, thin, tired,
    tame, vague, wooden, dated, clunky, tasteless, mindless, soulless, repetitive, implausible,
    uneven, unoriginal, unremarkable, rushed, stiff, childish, empty, flimsy, incompetent,
    heavy-handed, overdone, patchy, cringeworthy, cloying, ugly, murky, unfocused, subpar, sappy,
    soppy, syrupy, mawkish, gimmicky, gaudy, garish, goofy, dumb, brainless, moronic, sour, bitter,
    cold, sterile, anaemic, limp, listless, leaden, ponderous, turgid, stodgy, soggy, robotic,
    mechanical, formulaic, cliched, cartoonish, one-note, hokey, smug, cynical, manipulative,
    tacked-on, choppy, jumbled, disjointed, chaotic, erratic, sketchy, threadbare, undercooked,
    underwritten, overwritten, miscast, misguided, misjudged, superficial, trivial, jarring, shrill,
    obnoxious, off-putting, creaky, cardboard, barren, colourless, faceless, unappealing,
    unbelievable, unpleasant, unnecessary
train NEGATIVE film: boring, slow, overlong, confusing, pretentious, preachy, unfunny, sluggish,
    rambling, joyless, bloated, tiring, incoherent, charmless, self-indulgent, aimless, senseless,
    unwatchable, exhausting, frustrating, sleep-inducing, overrated, tone-deaf, overblown, dry,
    depressing, draining, numbing, mind-numbing, interminable, never-ending, inaccessible,
    inconsequential, disposable, skippable, laughless, scareless, braindead, humourless,
    passionless, heartless, incomprehensible, nonsensical, convoluted
train NEGATIVE strong: terrible, awful, horrible, atrocious, pathetic, laughable, ridiculous,
    embarrassing, unbearable, abysmal, dire, painful, rotten, hideous, disgraceful, hopeless,
    insulting, idiotic, appalling, excruciating, lousy, ghastly, third-rate, worthless, horrendous,
    unforgivable, disastrous, vile, nasty, revolting, miserable, abhorrent, crummy, infuriating,
    shameful, nauseating, disgusting, inexcusable, unspeakable, sickening, execrable, offensive,
    indefensible, unredeemable, bottom-of-the-barrel, godawful, putrid, hellish, grotesque, ruinous,
    pitiless, beneath contempt, beyond help, brutal to sit through, garbage-grade, contemptible,
    horrid, trashy
train NEGATIVE like: lose interest in/lost interest in, yawn through/yawned through, tire of/tired
    of, get bored with/got bored with, struggle with/struggled with, fidget through/fidgeted
    through, nod off during/nodded off during, groan at/groaned at, regret watching/regretted
    watching, cringe at/cringed at, get annoyed with/got annoyed with, give up on/gave up on, long
    for the end of/longed for the end of, drift off during/drifted off during, feel cheated by/felt
    cheated by, feel let down by/felt let down by, get sick of/got sick of, roll my eyes at/rolled
    my eyes at, get nothing out of/got nothing out of, sigh at/sighed at, feel nothing for/felt
    nothing for, check my watch during/checked my watch during, feel bored by/felt bored by, feel
    insulted by/felt insulted by, get confused by/got confused by, shake my head at/shook my head
    at, want to leave/wanted to leave, fast-forward through/fast-forwarded through
train NEGATIVE love: hate/hated, dislike/disliked, despise/despised, resent/resented, mock/mocked,
    suffer through/suffered through, walk out of/walked out of, curse/cursed, sleep through/slept
    through, trash/trashed, ridicule/ridiculed, snore through/snored through, boo/booed,
    abhor/abhorred, scoff at/scoffed at, sneer at/sneered at, flee from/fled from, rue/rued, demand
    my money back for/demanded my money back for, trudge through/trudged through, hiss at/hissed at
train NEGATIVE mild: a bore, a mess, a chore, a waste of time, a letdown, a disappointment, a slog,
    a drag, a cash grab, a rip-off, a mistake, a snooze, a misfire, a headache, a dead loss, a yawn,
    a muddle, a non-event, a time-waster, a failure, a write-off, a wasted evening, a missed chance,
    a step back, a bad idea, an unworthy sequel, a cheat, a snore, a filler, a lost evening, money
    down the drain, a tired rehash, a dead end, a struggle
train NEGATIVE grand: a disaster, a train wreck, a flop, garbage, rubbish, trash, an insult, a
    disgrace, a bad joke, a fiasco, torture, an embarrassment, a stinker, junk, a crime against
    cinema, a nightmare, a car crash, pure nonsense, a joke, hogwash, a turkey, a monstrosity, a
    humiliation, an outrage, a scandal, a mockery, a swindle, the pits, rock bottom, a low point in
    cinema, a black hole, a trainwreck, an all-time low, bilge, film-making of the lowest order
train NEGATIVE closer: Save your money., Avoid!, I want my two hours back., One star from me., I
    came out angry., You won't thank me for the tip., I wouldn't watch it again., It wasn't worth
    the ticket., I walked out., Give it a miss., One out of ten.
validation POSITIVE soft: captivating, delightful, skilful, thoughtful, elegant, deft, assured,
    persuasive, artful, nuanced, spirited, fascinating, distinctive, plausible, disarming,
    attractive, agreeable, admirable, accomplished
validation POSITIVE film: moving, involving, poignant, enthralling, riveting, endearing
validation POSITIVE strong: brilliant, wonderful, splendid, exceptional, peerless, tremendous,
    beautiful, magical, stellar, sensational, mesmerising
validation POSITIVE like: appreciate/appreciated, relish/relished, savour/savoured, revel
    in/revelled in, get swept away by/got swept away by, feel drawn to/felt drawn to, delight
    in/delighted in, admire/admired
validation POSITIVE love: worship/worshipped, treasure/treasured, idolise/idolised, swoon
    over/swooned over, gush over/gushed over, hail/hailed
validation POSITIVE mild: a delight, a real find, a real discovery, a beauty, a cracker, a
    pick-me-up, a bright spot, a credit to its makers
validation POSITIVE grand: a wonder, a milestone, sheer magic, sheer bliss, a landmark, a tonic,
    an instant favourite, a gift, a diamond
validation POSITIVE closer: Catch it if you can., It made my week., Nine out of ten., I wouldn't
    change a frame.
validation NEGATIVE soft: poor, feeble, shoddy, crude, trite, humdrum, slapdash, insipid,
    mediocre, inept, ham-fisted, drab, inane, banal, careless, phoney, half-baked, hackneyed,
    vapid, dreary, laboured, pedestrian
validation NEGATIVE film: tedious, plodding, soporific, meandering, dispiriting, wearisome,
    monotonous, verbose
validation NEGATIVE strong: dreadful, abominable, woeful, wretched, pitiful, deplorable,
    diabolical, repellent, intolerable, dismal
validation NEGATIVE like: grow weary of/grew weary of, get fed up with/got fed up with, squirm
    through/squirmed through, wince at/winced at, run out of patience with/ran out of patience
    with, doze during/dozed during, despair of/despaired of, grumble about/grumbled about
validation NEGATIVE love: loathe/loathed, detest/detested, endure/endured, deplore/deplored,
    condemn/condemned, recoil from/recoiled from
validation NEGATIVE mild: a dud, an ordeal, a trial, a turn-off, a shambles, a damp squib, a
    blunder, a washout, a nuisance
validation NEGATIVE grand: a calamity, a catastrophe, drivel, dross, an abomination, a travesty, a
    debacle, tripe, a blight
validation NEGATIVE closer: Spare yourself., It ruined my week., Two out of ten., I wouldn't sit
    through it twice.
"""
)

# Which lists an opinion slot draws from, twice from those whose words are negated as well, that
# they stand for what they mean at least as often. `long` words take "more" and "less".
POOLS: dict[str, Words] = {
    "soft": ("soft",),
    "adj": ("soft", "soft", "strong"),
    "filmsoft": ("soft", "film"),
    "filmadj": ("soft", "film", "soft", "film", "strong"),
    "long": ("soft",),
    "like": ("like",),
    "liked": ("like",),
    "love": ("like", "love"),
    "loved": ("like", "love"),
    "mild": ("mild",),
    "noun": ("mild", "grand"),
    "grand": ("grand",),
    "strong": ("strong",),
}

ONE_PART = _words(
    "script, acting, ending, score, camera work, dialogue, plot, pacing, direction, editing, "
    "lighting, cast, soundtrack, sound design, costume design, set design, story, opening, finale, "
    "final act, second half, first hour, middle stretch, humour, romance, atmosphere, setting, "
    "make-up, choreography, narration, voice acting, colour palette, photography, twist, premise, "
    "structure, character work, world building, animation, staging, cinematography, theme song, "
    "title sequence, closing scene, central performance, supporting cast, subplot, family story, "
    "chemistry between the leads, production design, stunt work, ballroom scene, storytelling, "
    "lead performance, singing, last half hour, mystery, sense of place, use of colour, suspense"
)
MORE_PARTS = _words(
    "special effects, jokes, fight scenes, songs, costumes, sets, performances, action scenes, "
    "characters, visuals, flashbacks, stunts, car chases, musical numbers, crowd scenes, "
    "dream scenes, one-liners, opening minutes, closing minutes, creature designs, battle scenes, "
    "courtroom scenes, scares, plot twists, dance scenes, side characters"
)
PLURALS = {"was": "were", "is": "are", "wasn't": "weren't", "isn't": "aren't"}

NEUTRAL = {
    "film": _words("this film, this movie, the film, the movie, this one, the whole thing"),
    "movie": _words("film, film, film, movie, movie, movie, picture, drama, sequel, debut"),
    "we": _words(
        "I, I, I, I, I, I, we, we, my wife and I, my husband and I, my brother and I, "
        "my flatmate and I, my daughter and I"
    ),
    "nobody": _words(
        "nobody in my row, no one in our group, not one of my friends, nobody I know, "
        "nobody at home, no one in the cinema, not one of us"
    ),
    "others": _words(
        "everyone, all my friends, the critics, most people, my whole family, half the internet, "
        "the papers, the people at work"
    ),
    "relative": _words("wife, husband, brother, boss, neighbour, mother, flatmate, best friend"),
    "really": _words("really, truly, genuinely, seriously"),
    "fairly": _words("fairly, rather, pretty, surprisingly, unexpectedly"),
    "kindof": _words("kind of, sort of, fairly, rather, quite, pretty, surprisingly, unexpectedly"),
    "yes": _words("Yes, Oh yes, Absolutely, Very much so, You bet, Of course, Definitely"),
    "no": _words("No, Not at all, Not for a second, Nope, Never, Not one bit, Not even once"),
}

# Clauses with a verdict. Those that are negated or outweighed have words that can be: said outright
# (claim) or by a negation (denial). What counts in the end may have all words (verdict).
CLAUSES: dict[str, Words] = {
    "claim": (
        "the {part} {was} {soft=}",
        "the {part} {is} {soft=}",
        "the {part} {was} {soft=}",
        "the {part} {is} {soft=}",
        "the {part} felt {soft=}",
        "the {part} seemed {soft=} enough",
        "the {part} came across as {soft=}",
        "the {part} {was} {soft=} and the {part} {was} {soft=}",
        "the {part} {was} {soft=} all the way through",
        "{film} is {filmsoft=}",
        "{film} was {filmsoft=}",
        "{film} is {filmsoft=}",
        "{film} was {really} {filmsoft=}",
        "{film} deserves to be called {filmsoft=}",
        "it's {mild=}",
        "it was {mild=} for all of us",
        "it was a {filmsoft=} {movie}",
        "this was a {filmsoft=} and {soft=} {movie}",
        "it has a {soft=} {part}",
        "there was something {soft=} about the {part}",
        "people will {like=} it",
        "the audience {liked=} it",
        "most of us {liked=} the {part}",
    ),
    "denial": (
        "the {part} {wasn't} {soft!}",
        "the {part} {isn't} {soft!}",
        "the {part} {wasn't} the least bit {soft!}",
        "the {part} {wasn't} all that {soft!}",
        "the {part} never felt {soft!}",
        "the {part} hardly seemed {soft!}",
        "there was nothing {soft!} about the {part}",
        "{film} isn't {filmsoft!}",
        "{film} wasn't {filmsoft!} at all",
        "{film} was never {filmsoft!}",
        "it wasn't a {filmsoft!} {movie}",
        "it isn't {mild!}",
        "it was no {filmsoft!} {movie}",
        "nobody {liked!} it",
        "no one will {like!} the {part}",
        "people didn't {like!} it",
    ),
    "verdict": (
        "{film} is {filmadj=}",
        "the film as a whole is {filmadj=}",
        "it's {noun=}",
        "{film} was {noun=}",
        "{we} {loved=} it",
        "{we} {loved=} {film}",
        "I {love=} it",
        "it's a {filmadj=} {movie}",
        "the rest of it is {adj=}",
        "the {part} {was} {adj=}",
    ),
}

# What turns the verdict of the clause in the place of {}, and what keeps it.
TURNING = (
    "I don't think {}",
    "I don't think that {}",
    "I do not believe {}",
    "I can't say {}",
    "I couldn't say that {}",
    "I wouldn't say {}",
    "I wouldn't say that {}",
    "I would never say that {}",
    "I never said that {}",
    "I can't claim that {}",
    "I don't feel that {}",
    "I didn't feel that {}",
    "I never had the feeling that {}",
    "I don't agree that {}",
    "I disagree that {}",
    "I'm not sure I'd say that {}",
    "I'm not convinced that {}",
    "I'm not going to say that {}",
    "I have my doubts whether {}",
    "I'd be lying if I said that {}",
    "I wish I could say that {}",
    "I'd love to tell you that {}, but I can't",
    "I have never heard anybody say that {}",
    "{we} don't think {}",
    "{we} didn't think that {}",
    "{we} were not of the opinion that {}",
    "nobody would say that {}",
    "nobody thinks that {}",
    "nobody left thinking that {}",
    "no one could claim that {}",
    "no one can tell me that {}",
    "not one of us said that {}",
    "not a soul believed that {}",
    "hardly anyone would say that {}",
    "you can't say that {}",
    "you can't convince me that {}",
    "you won't hear me say that {}",
    "you couldn't pay me to say that {}",
    "don't let anybody tell you that {}",
    "don't believe anyone who says that {}",
    "never believe those who say that {}",
    "whoever says that {} has it wrong",
    "whoever thinks that {} saw another film",
    "those who say that {} must be joking",
    "anyone who thinks that {} hasn't seen it",
    "it's not true that {}",
    "it is simply false that {}",
    "it's a myth that {}",
    "it can't be said that {}",
    "it isn't as if {}",
    "it's not as though {}",
    "it is wrong to say that {}",
    "it would be a stretch to say that {}",
    "it would be too much to say that {}",
    "it would be dishonest to write that {}",
    "there's no reason to think that {}",
    "there is little to suggest that {}",
    "there's not a shred of evidence that {}",
    "under no circumstances would I say that {}",
    "by no stretch of the imagination would I say that {}",
    "only a fool would think that {}",
    "only the director's mother would say that {}",
    "who on earth would say that {}?",
    "who thinks that {}? Not me",
    "how can anybody think that {}?",
    "if {}, I'm the king of France",
    "if you think that {}, think again",
    "as if {}",
    "{}? I don't think so",
    "{}? No",
    "{}? Not for me",
    "{}? You must be joking",
    "{}? Says who",
    "{}, they told me. They lied",
    "{}: that's what they say, and it's not true",
    "{}, I'm told. I don't see it",
    "{}, or so I had hoped. It was not to be",
    "the makers think that {}. I don't",
    "the poster says that {}. It isn't so",
    "somebody wrote that {}. Not in my book",
    "I had been told that {}. That's not what I saw",
    "I used to think that {}. I was wrong",
    "I once believed that {}. No more",
    "I'd have liked to think that {}",
    "I wanted to believe that {}, but no",
    "I fail to see how anyone could say that {}",
    "I see no sign that {}",
)
KEEPING = (
    "I think {}",
    "I think that {}",
    "I'd say that {}",
    "I must say that {}",
    "I have to say {}",
    "I'm sure that {}",
    "I won't hide that {}",
    "I have no doubt that {}",
    "I never doubted that {}",
    "I don't mind saying that {}",
    "I can't deny that {}",
    "I wouldn't deny that {}",
    "I don't deny that {}",
    "I don't care what they say, {}",
    "I can't stress enough that {}",
    "I wasn't the only one to think that {}",
    "I'm not alone in thinking that {}",
    "I'm not ashamed to say that {}",
    "{we} think that {}",
    "{we} couldn't deny that {}",
    "nobody can deny that {}",
    "nobody would dispute that {}",
    "nobody needs to tell me that {}",
    "no one will argue with the view that {}",
    "not a soul would deny that {}",
    "everyone agrees that {}",
    "everybody knows that {}",
    "you can't deny that {}",
    "you can't argue with the fact that {}",
    "you don't need me to tell you that {}",
    "don't forget that {}",
    "don't tell me you didn't notice that {}",
    "there's no doubt that {}",
    "there is no question that {}",
    "there's no arguing that {}",
    "there's no way to hide that {}",
    "there is not the slightest doubt that {}",
    "it's true that {}",
    "it's no secret that {}",
    "it's no lie that {}",
    "it isn't wrong to say that {}",
    "it's not too much to say that {}",
    "it is no exaggeration to say that {}",
    "it can't be denied that {}",
    "it would be a lie to deny that {}",
    "it goes without saying that {}",
    "it doesn't take a critic to see that {}",
    "who could deny that {}?",
    "who can say no to the fact that {}?",
    "make no mistake: {}",
    "no doubt about it, {}",
    "no question, {}",
    "no two ways about it: {}",
    "believe me, {}",
    "not to mince words, {}",
    "not only that, {}",
    "never did I doubt that {}",
    "if anyone asks, {}",
    "{}? I think so",
    "{}? Yes",
    "{}? No doubt",
    "{}, and nobody can tell me otherwise",
    "{}, and I won't hear a word against it",
    "{}, no doubt about it",
    "{}, and I'm not the only one who says so",
    "{}, I can't put it any other way",
    "they say that {}. They aren't wrong",
    "somebody wrote that {}. I couldn't agree more",
    "I used to think that {}. I wasn't wrong",
    "I had been told that {}. That's what I saw",
)
# Two clauses of opposite verdicts, of which one counts.
JOINING = (
    "{claim!}, but {verdict=}",
    "{denial!}, but {verdict=}",
    "{claim!}, yet {verdict=}",
    "{claim!}, though {verdict=}",
    "{claim!} and still {verdict=}",
    "{claim!}. But {verdict=}",
    "{claim!}. However, {verdict=}",
    "{claim!}. Still, {verdict=}",
    "{claim!}. And yet {verdict=}",
    "{claim!}. All the same, {verdict=}",
    "{claim!}. That said, {verdict=}",
    "{claim!}. No matter: {verdict=}",
    "{claim!}, it's true. But {verdict=}",
    "{claim!}, I'll give you that, but {verdict=}",
    "I'll admit that {claim!}. {verdict=} anyway",
    "I'll admit that {denial!}. But {verdict=}",
    "I know that {claim!}. I don't care, {verdict=}",
    "sure, {claim!}. Even so {verdict=}",
    "maybe {claim!}, but {verdict=}",
    "perhaps {denial!}, but {verdict=}",
    "of course {claim!}. It takes nothing away from the fact that {verdict=}",
    "although {claim!}, {verdict=}",
    "although {denial!}, {verdict=}",
    "even though {claim!}, {verdict=}",
    "even if {claim!}, {verdict=}",
    "though {denial!}, {verdict=}",
    "{verdict=}, although {claim!}",
    "{verdict=}, even if {denial!}",
    "{verdict=}, even though {claim!}",
    "{verdict=}. So what if {claim!}",
    "{verdict=}. Who cares that {claim!}",
    "{verdict=}. Forget that {claim!}",
    "{claim!} at first. By the end {verdict=}",
    "{claim!} for a while, and then {verdict=}",
    "I expected that {claim!}. Instead {verdict=}",
    "{claim!} in the trailer. In the film {denial=}",
    "on the one hand {claim!}. On the other, and that's what counts, {verdict=}",
    "{claim!} only on the surface: {verdict=}",
    "{claim!} for some, perhaps. For me {verdict=}",
)

TEMPLATES: dict[str, dict[str, Words]] = {
    "train": {
        "plain": (
            "the {part} {was} {adj=}",
            "the {part} {is} <very|{really}> {soft=}",
            "this is a {really} {filmsoft=} {movie}",
            "what a {filmadj=} {movie}",
            "{film} was {noun=} <from start to finish|from the first scene to the last>",
            "{we} {loved=} {film}",
            "a {filmadj=} {movie}, and the {part} {is} {adj=} too",
            "{adj=} {part}, {adj=} {part}, {filmadj=} {movie}",
            "the {part} {was} {adj=} and the {part} {was} {adj=}",
            "two hours [well spent|down the drain], thanks to the {adj=} {part}",
            "if you ask me, {film} is {noun=}",
            "I found the {part} {adj=} and the rest {filmadj=}",
            "[go and see it|stay away]. It's {filmadj=}",
            "it was {noun=}, and {we} {loved=} it",
            "{we} {loved=} the {part}",
            "{film}: {noun=}",
            "easily {noun=}, {film}",
            "the {adj=} {part} and the {adj=} {part} [make it|ruin it]",
            "such {adj=} {part}",
            "[thumbs up|thumbs down] for {film}, it's {filmadj=}",
            "everything about {film} is {filmadj=}",
            "{we} {love=} everything about it",
            "I'd say {filmadj=}, and that goes for the {part} too",
        ),
        "negation": (
            "the {part} {wasn't} {soft!}",
            "the {part} {wasn't} [bad|great]<| at all>",
            "{film} isn't {filmsoft!}<| at all>",
            "this is not a {filmsoft!} {movie}",
            "{we} didn't {like!} it <for a moment|one bit|at all>",
            "{nobody} {liked!} it",
            "{we} never {liked!} it",
            "not {adj!} at all, this {movie}",
            "the {part} {wasn't} {soft!} and the {part} {wasn't} {soft!} either",
            "there was not one {soft!} <scene|line|minute> in the whole film",
            "it was never {filmsoft!}, not <for|even for> a second",
            "{film} is neither {soft!} nor {filmsoft!}",
            "{film} isn't {mild!}, not to me",
            "I did not find the {part} {soft!}",
            "I don't {like!} the {part}",
            "{we} didn't think much of it was {soft!}",
            "{film} was not what I'd call {filmsoft!}",
            "no, {film} isn't {mild!}",
            "nothing in it felt {soft!}",
            "it doesn't get {filmsoft!} <at any point|anywhere>",
            "not a {filmsoft!} {movie}, not by any measure",
            "the {part} {isn't} {soft!} and neither is the rest",
            "without a single {soft!} scene",
            "{film} fails to be {filmsoft!}",
            "it lacks any {soft!} <scene|idea|line>",
        ),
        "distant_negation": (
            "I can't say <that |>it was a {filmsoft!} {movie}",
            "{we} can't say <that |>the {part} {was} {soft!}",
            "{we} don't think <that |>{film} was {filmsoft!} <for a minute|at any point>",
            "nobody could call the {part} {soft!}",
            "{film} is far from {filmsoft!}",
            "the {part} {was} anything but {adj!}",
            "the {part} {is} hardly {soft!}",
            "I don't believe <that |>anyone will find {film} {filmsoft!}",
            "at no point did {we} find the {part} {soft!}",
            "it would be a lie to call {film} {filmsoft!}",
            "the last word I'd use for {film} is {filmsoft!}",
            "I can't imagine who would call it {mild!}",
            "in no way would I call the {part} {soft!}",
            "it's hard to see how anyone could think {film} {filmsoft!}",
            "I have yet to meet a person who {liked!} it",
            "I wouldn't go so far as to call {film} {filmsoft!}",
            "nobody in their right mind would say the {part} {was} {soft!}",
            "I have a hard time believing the {part} could seem {soft!} to anyone",
            "there is no way <that |>{film} deserves to be called {filmsoft!}",
            "it never occurred to me to think of {film} as {filmsoft!}",
            "I wasn't once tempted to call the {part} {soft!}",
            "<only a fool|only a liar> would call {film} {filmsoft!}",
            "it takes a strange mind to find {film} {filmsoft!}",
            "{we} left without having seen anything {soft!}",
            "I can think of many words for the {part}, and {soft!} isn't one of them",
            "not even my {relative}, who likes to [complain|gush], found it {filmsoft!}",
            "to say <that |>the {part} {was} {soft!} would be untrue",
            "{film} is about as far from {filmsoft!} as a film can get",
        ),
        "double_negation": (
            "nobody can say <that |>the {part} {wasn't} {soft=}",
            "there wasn't a <scene|minute|moment> that wasn't {soft=}",
            "it's impossible not to {love=} it",
            "I don't know anybody who didn't {love=} it",
            "there's no denying <that |>the {part} {is} {adj=}",
            "you can't tell me {film} isn't {filmadj=}",
            "I won't deny it: {film} is {filmadj=}",
            "not one <scene|line> failed to be {soft=}",
            "<nobody in our row|not one of us> left without calling it {noun=}",
            "it isn't true that the {part} {wasn't} {soft=}",
            "it was hard not to {love=} it",
            "don't let anyone tell you <that |>{film} isn't {filmsoft=}",
            "there isn't anything about {film} that isn't {soft=}",
            "no one could fail to {love=} it",
            "I couldn't help but {love=} it",
            "I couldn't bring myself not to {love=} it",
            "nothing can stop {film} from being {filmsoft=}",
            "there's no way around it: the {part} {is} {adj=}",
            "it would be wrong to say <that |>{film} isn't {filmadj=}",
            "never was there a moment that didn't feel {soft=}",
            "you will not find a person who doesn't {love=} it",
            "not for a second did the {part} stop being {soft=}",
            "nobody will tell me it wasn't {noun=}",
        ),
        "contrast": (
            "the {part} {was} {soft!}, but the film as a whole was {filmadj=}",
            "although the {part} {is} {soft!}, this is a {filmadj=} {movie}",
            "despite the {soft!} {part}, {we} {loved=} {film}",
            "{we} {loved=} {film} <in spite of|despite> the {soft!} {part}",
            "yes, the {part} {is} {adj!}. {film} is still {noun=}",
            "even the {adj!} {part} couldn't [spoil|save] {film}",
            "the {part} {was} {adj!} and the {part} {was} {adj!}, yet {we} {loved=} {film}",
            "{film} is {filmadj=}, <even though|although> the {part} {is} {soft!}",
            "it starts out {filmsoft!} and ends up {filmadj=}",
            "the {part} may be {soft!}, but {film} is {noun=}",
            "I could [moan about|praise] the {part} all day, but {film} is still {noun=}",
            "a {filmadj=} {movie} with a {soft!} <title|trailer|poster>",
            "{soft!} {part}, {adj=} {part}, and in the end {noun=}",
            "for all its {soft!} scenes {film} is {noun=}",
            "{film} has a {soft!} {part}. It doesn't matter, {we} {loved=} it",
            "however {soft!} the {part} may be, {film} is {filmadj=}",
            "the {part} {is} {soft!}. But what a {filmadj=} {movie}",
            "I didn't {like=} the <first scene|title>, and still it's {noun=}",
            "it may look {filmsoft!}, but it's {filmadj=}",
            "{film} is {filmadj=}. The {soft!} {part} can't change that",
            "a {soft!} start, a {adj=} rest",
            "{we} {liked!} the {part}. As for the film, it's {noun=}",
        ),
        "hedge": (
            "the {part} {was} {kindof} {soft=}",
            "{film} is {kindof} {soft=}, I <suppose|guess|must say>",
            "I <must|have to> admit {we} <kind of|sort of> {liked=} it",
            "it's a bit of {mild=}",
            "all in all a {fairly} {soft=} {movie}",
            "{film} is, on balance, {kindof} {soft=}",
            "I'd lean towards calling the {part} {soft=}",
            "it's mostly {soft=}, with a few {soft!} <patches|scenes>",
            "to my surprise the {part} {was} {soft=}",
            "maybe it's just me, but I found {film} {kindof} {soft=}",
            "{we} more or less {liked=} it",
            "not that I'm an expert, but the {part} seemed {soft=}",
            "it has its {soft!} moments, though mostly it's {soft=}",
            "I think the {part} {was} <a bit|a little> {soft=}",
            "call it {kindof} {soft=}",
            "{film} is {soft=} enough",
            "if anything, the {part} {was} {soft=}",
        ),
        "used_to": (
            "I used to think {film} was {filmsoft!}. This time it seemed {filmadj=}",
            "{we} expected {noun!} and got {noun=}",
            "I went in expecting a {filmsoft!} {movie}. What I got was {filmadj=}",
            "I thought I'd {love!} it, but I {loved=} it",
            "as a <child|teenager> I {loved!} it. As an adult I {love=} it",
            "the trailer looked {filmsoft!}. The film itself is {filmadj=}",
            "the first <hour|half> was {filmsoft!}. From then on it was {filmadj=}",
            "it was {filmsoft!} in its day, they say. Today it's {filmadj=}",
            "what looked like {mild!} turned out to be {noun=}",
            "the {part} struck me as {soft!} the first time and as {adj=} the second",
            "I no longer think <that |>{film} is {filmsoft!}. It's {filmadj=}",
            "I was told to expect {noun!}. I saw {noun=}",
            "{film} once seemed {filmsoft!} to me, and now it seems {filmadj=}",
            "{we} had expected nothing but {noun!}. It is {noun=}",
            "after the {soft!} <first part|pilot> this one is {filmadj=}",
            "ten minutes in I thought it was {filmsoft!}. By the end I knew it was {filmadj=}",
            "back then {we} {loved!} it. Now {we} {love=} it",
            "from {filmsoft!} to {filmadj=}: that is how it goes",
            "my first impression was {soft!}, my last one {adj=}",
        ),
        "question": (
            "was it {filmsoft!}? {no}",
            "was it {filmadj=}? {yes}",
            "did {we} {like!} it? {no}",
            "did {we} {love=} it? {yes}",
            "was there a {soft!} <scene|joke|line> anywhere in it? No, not one",
            "would I <see|watch> it again? [Tomorrow|Never]. The {part} {was} {adj=}",
            "what did {we} think of the {part}? In a word: {adj=}",
            "is this a {filmsoft!} {movie}? {no}. Is it a {filmadj=} one? {yes}",
            "who could {like!} this film? Nobody I know",
            "do I think the {part} {was} {soft!}? I don't. {adj=}? I do",
            "can you call it {mild!}? You can't",
            "is the {part} {soft!}? I don't think so",
            "is the {part} {adj=}? I think so",
            "do I {like!} it? I do not",
            "do I {love=} it? I do",
            "did the {part} work? [Yes|No]: it was {adj=}",
            "so, {filmsoft!}? {no}",
            "how was it? {filmadj=}",
            "would anyone call this {filmsoft!}? I wouldn't",
            "{noun!}? {no}. {noun=}? {yes}",
            "why is {film} so {filmadj=}? The {adj=} {part}",
        ),
        "comparative": (
            "the {part} {was} [better|worse] than <I expected|in the first film|in the series>",
            "one of the [best|worst] films {we} have seen in years. The {part} {is} {adj=}",
            "{film} is <far|much> more {long=} than <the first one|the book|the series>",
            "{film} isn't half as {filmsoft!} as they said",
            "compared with the <first part|book|original>, it's {filmadj=}",
            "it [leaves most films of its kind behind|trails most films of its kind]: {noun=}",
            "I have never seen a more {long=} {movie}",
            "few films are as {filmadj=} as this one",
            "nothing I saw this year was as {filmadj=} as this",
            "the book was {filmsoft!}. The film is {filmadj=}",
            "{film} was far less {long!} than I had [feared|hoped]",
            "I'd rather [see it again than sleep|clean the oven than see it again]. It's {noun=}",
            "{film} is [miles ahead of|miles behind] <the original|the rest>",
            "the {part} {is} less {long!} than ever",
            "I've seen [better|worse], but this is {noun=}",
            "{film} makes the last one look {filmsoft!}. It's {filmadj=}",
            "nobody does {adj=} films like this",
            "the more I think about it, the more {long=} it seems",
            "<the first one|the remake> was {noun!}, this one is {noun=}",
            "not as {filmsoft!} as <I had been told|people say>",
            "you won't find a more {long=} {part} <anywhere|this year>",
        ),
        "others": (
            "{others} said it was {filmadj!}. {we} {loved=} it",
            "{others} called it {noun!}. I call it {noun=}",
            "I don't care that {others} {loved!} it. I {loved=} it",
            "my {relative} {loved!} it. I found it {filmadj=}",
            "people keep telling me <that |>it's {filmadj!}. It isn't, it's {filmadj=}",
            "{others} thought it was {filmadj!}. <I disagree|They were wrong|I don't>",
            "{others} [warned me about|recommended] it. I'm [glad|sorry] I went: it's {noun=}",
            "unlike {others}, {we} {loved=} it",
            "the reviews were [terrible|great]. The reviews were wrong about the {part}",
            "<some|others> may {love!} it. To me it's {noun=}",
            "the <man|woman> next to me {loved!} it. I thought it was {filmadj=}",
            "I can see why {others} {loved!} it, but for me it was {filmadj=}",
            "{others} can {love!} it all they like. I {love=} it",
            "{we} didn't share the view of {others} that it was {filmadj!}",
            "{others} told me it was {noun!}, which it isn't",
            "my {relative} wanted to leave and I [wouldn't|did too]: {noun=}",
            "while {others} {loved!} it, {we} {loved=} it",
            "{others} were [too hard on|too kind to] {film}. It's {filmadj=}",
            "whatever {others} say, the {part} {is} {adj=}",
            "{others} {loved!} the {part}, and I never understood why: {adj=} is the word",
        ),
        "negated_bad": (
            "there's nothing [wrong with|right about] the {part}",
            "not a {soft!} <moment|minute|scene> in it",
            "{we} couldn't find [fault with|a single merit in] the {part}",
            "I have no [complaints about|kind words for] the {part}",
            "the {part}? Not [bad|good]<| at all>",
            "nothing about {film} is {filmsoft!}",
            "there's nothing {soft!} about the {part}",
            "the {part} won't [disappoint|impress] <you|anyone>",
            "never a {soft!} <moment|minute> <with this one|in this film>",
            "not one [complaint|compliment] from <me|our row|my friends> about the {part}",
            "it's not [a waste of|worth] <the ticket price|anyone's evening|anyone's money>",
            "no {soft!} scenes, no {soft!} lines, and the {part} {wasn't} {soft!} either",
            "I can't [find anything wrong|find anything right] with the {part}",
            "the {part} {was} never {soft!}",
            "it has no {soft!} scenes",
            "there is no {soft!} line in the script",
            "[no regrets|no redeeming feature], {film} is {filmadj=}",
            "I saw nothing {soft!} in it",
            "hardly a {soft!} <minute|line>",
            "{film} has none of the {soft!} <scenes|lines> of <the first|its rivals>",
            "[nobody will be bored|nobody will be amused] by the {part}",
            "free of anything {soft!}",
        ),
    },
    "validation": {
        "plain": (
            "I'd call the {part} {adj=}",
            "{filmadj=}, every bit of it",
            "the makers gave us {noun=}",
            "[put it on|strike it from] your list. {we} {loved=} it",
        ),
        "negation": (
            "it didn't strike me as {filmsoft!}",
            "neither the {part} nor the {part} {was} {soft!}",
            "not once did {we} {like!} it",
            "none of us {liked!} it",
            "the {part} didn't feel {soft!} <to me|to us>",
        ),
        "distant_negation": (
            "you'd have to look long and hard for a {soft!} scene",
            "few would describe the {part} as {soft!}",
            "I refuse to believe <that |>anybody will think it {filmsoft!}",
            "I doubt <that |>anyone would consider the {part} {soft!}",
            "scarcely {filmsoft!}, this {movie}",
        ),
        "double_negation": (
            "I defy anyone not to {love=} it",
            "none of us thought the {part} {wasn't} {soft=}",
            "it never stops being {filmsoft=}",
            "I can't pretend {film} isn't {filmadj=}",
        ),
        "contrast": (
            "the {part} {is} {soft!}, granted. Nevertheless {film} is {filmadj=}",
            "while the {part} {was} {soft!}, in the end {film} is {noun=}",
            "never mind the {adj!} {part}: {we} {loved=} {film}",
            "{film} is {noun=}, {adj!} {part} or not",
        ),
        "hedge": (
            "{we} found it, <on the whole|by and large>, {soft=}",
            "the {part} {is} <oddly|strangely|somewhat> {soft=}",
            "I'm inclined to say <that |>it's {filmsoft=}",
            "it's something of {mild=}",
        ),
        "used_to": (
            "once I {loved!} it. These days I find it {filmadj=}",
            "the bar was set [low|high]. It proved {filmadj=}",
            "the poster suggests {mild!}. What you see is {noun=}",
            "on paper it sounds {filmsoft!}. On screen it's {filmadj=}",
        ),
        "question": (
            "{filmsoft!}? <Hardly|Far from it|Anything but>",
            "does it hold up? It [does|doesn't]. The {part} {is} {adj=}",
            "would I call it {noun=}? <Indeed I would|I certainly would>",
            "should you go? Please [do|don't]: it's {noun=}",
        ),
        "comparative": (
            "the {part} {was} [a cut above|a notch below] the rest of the series, and {adj=}",
            "seldom have {we} seen so {filmadj=} a {movie}",
            "it's as {filmadj=} as they come",
            "not nearly as {filmsoft!} as the poster makes it look",
        ),
        "others": (
            "my {relative} thinks it's {noun!}. To my mind it's {noun=}",
            "contrary to what <the radio|a colleague> says, the {part} {isn't} {soft!}",
            "the crowd around me {loved!} it, and I alone {loved=} it",
            "<the jury|the festival crowd> {loved!} it. {we} came away thinking it {filmadj=}",
        ),
        "negated_bad": (
            "you'd look in vain for a {soft!} <shot|scene|turn>",
            "the {part} left [nothing|everything] to be desired",
            "ninety minutes without a {soft!} beat",
            "it contains nothing {soft!}, <and I looked|I promise>",
        ),
    },
}


def _around(frames: Words, clause: str) -> Words:
    """The frames with this clause in each."""
    return tuple(frame.replace("{}", clause) for frame in frames)


# More templates of each kind to train on, out of clauses.
CLAUSAL: dict[str, Words] = {
    "negation": ("{denial=}",) * 10 + _around(KEEPING, "{denial=}"),
    "distant_negation": _around(TURNING, "{claim!}"),
    "double_negation": _around(TURNING, "{denial!}") + _around(KEEPING, "{claim=}"),
    "contrast": JOINING,
    "plain": (
        "{claim=}",
        "{claim=}",
        "{claim=}",
        "{verdict=}",
        "{verdict=}",
        "{claim=} and {verdict=}",
        "{verdict=}. {claim=}",
    ),
    "hedge": (
        "I'd say that {claim=}, more or less",
        "I suppose {claim=}",
        "I guess {denial=}",
        "overall {claim=}",
        "if I had to choose, I'd say that {claim=}",
        "perhaps it's my mood, but {claim=}",
        "it's not {grand=}, but {claim=}",
        "it may not be {grand=}, but {claim=}",
        "it isn't {grand=}. Still, {claim=}",
        "I wouldn't call it {strong=}, but {claim=}",
        "not exactly {strong=}, but {soft=} <all the same|enough>",
    ),
    "used_to": (
        "I used to think that {claim!}. Now I think that {claim=}",
        "when it came out I thought that {claim!}. Not any more",
        "I used to say that {claim!}. I take it back",
        "I always thought that {claim=}, and I still do",
        "I always said that {claim=}, and I haven't changed my mind",
        "years ago I'd have said that {claim!}. Seen again, {verdict=}",
        "before I saw it I thought that {claim!}. After it, {verdict=}",
        "at first {claim!}. An hour later {verdict=}",
        "for ten minutes {claim!}. For the other ninety {denial=}",
        "in the first season {claim!}. In this one {denial=}",
        "it used to be said that {claim!}. Nobody says so today",
        "I was sure that {claim!}. It turns out that {verdict=}",
    ),
    "question": (
        "do I think that {claim!}? {no}",
        "do I think that {claim=}? {yes}",
        "would I say that {claim!}? I wouldn't",
        "would you say that {claim=}? I would",
        "is it true that {claim!}? It isn't",
        "is it true that {claim=}? It is",
        "who says that {claim!}? Not {others}",
        "how do I feel about it? {verdict=}",
        "the big question: was it {filmsoft!}? {no}",
        "the big question: was it {filmsoft=}? {yes}",
        "{claim!}, right? Wrong",
        "{claim=}, right? Right",
        "what did I tell you? {verdict=}",
        "was there ever a doubt? {verdict=}",
    ),
    "comparative": (
        "{film} is [better|worse] than I expected: {claim=}",
        "compared with the first one {claim=}",
        "next to <its rivals|the original> {claim=}",
        "the first one was {filmsoft!}, and this one isn't",
        "the first one was {filmsoft=}, and so is this one",
        "unlike the first one, {film} isn't {filmsoft!}",
        "like the first one, {film} is {filmsoft=}",
        "the {part} {was} never this {soft=}",
        "it doesn't get more {long=} than this",
        "it doesn't get any [better|worse] than this",
        "the {part} couldn't be more {long=}",
        "nothing could be more {long=} than the {part}",
        "it's [no worse|no better] than the first one, and that was {noun=}",
    ),
    "others": (
        "{others} say that {claim!}. I say that {verdict=}",
        "{others} swear that {claim!}. Not so: {verdict=}",
        "{others} will tell you that {claim!}. They're wrong",
        "{others} will tell you that {claim=}. They're right",
        "{others} didn't think that {claim!}, and neither did I",
        "{others} said that {claim=}, and I can only agree",
        "my {relative} says that {claim!}. I don't see it",
        "my {relative} says that {denial!}. I don't agree",
        "my {relative} says that {claim=}, and I think so too",
        "unlike my {relative}, I don't think that {claim!}",
        "like my {relative}, I think that {claim=}",
        "{others} may say that {claim!}. I don't",
        "I heard {others} say that {claim!}. Not true",
    ),
    "negated_bad": (
        "never {soft!}, always {soft=}",
        "not {soft!} but {soft=}, the {part}",
        "no {soft!} scenes: {claim=}",
        "anything {soft!} about it? I found nothing",
        "zero {soft!} scenes",
        "you'll find no {soft!} scene here",
        "not for one minute is it {filmsoft!}",
        "the {part}? Not {soft!} in the least",
    ),
}
TEMPLATES["train"] = {kind: fixed + CLAUSAL[kind] for kind, fixed in TEMPLATES["train"].items()}

# Parted by a bar; a sentence goes on after a comma or a colon, and begins after a full stop.
OPENERS = {
    "train": (
        "Honestly,|Saw this last night:|Look,|For what it's worth,|OK,|My two cents:|Well,|"
        "Just back from the cinema.|Finally watched it.|Short version:|Watched on a plane.|"
        "I'll keep this short."
    ),
    "validation": "Frankly,|Caught this on television:|In short,|We streamed it on Sunday.",
}
LONG_FORMS = _words(
    "can't/cannot, won't/will not, it's/it is, there's/there is, I'm/I am, I'll/I will, "
    "I'd/I would, you'd/you would"
)


def make(split: str, rows: int, seed: int = 0) -> list[Row]:
    """Rows of one split, shuffled, all different, with both labels equally often in each kind.

    Kinds are equally often too, but for `plain`: twice, so that an opinion word stands for what it
    means more often than for the opposite.

    Args:
        split: `train` or `validation`.
        rows: How many.
        seed: The same seed gives the same rows.

    Raises:
        ValueError: The templates do not give so many different rows.
    """
    chance = random.Random(f"{split} {seed}")
    turns = ["plain", *TEMPLATES[split]]
    seen: set[str] = set()
    made: list[Row] = []
    for i in range(rows):
        kind, label = turns[i // 2 % len(turns)], LABELS[i % 2]
        words = "train" if i // (2 * len(turns)) % 2 else split
        for _ in range(200):
            template = chance.choice(TEMPLATES[split][kind])
            text = _dress(fill(template, words, label, chance), split, label, chance)
            letters = re.sub("[^a-z]", "", text.lower())
            if letters not in seen:
                break
        else:
            raise ValueError(f"rows must be fewer, got {rows} — {kind} has no more to give")
        seen.add(letters)
        of_training = "known" if words == "train" else "new"
        made.append({"text": text, "label": label, "kind": kind, "words": of_training})
    chance.shuffle(made)
    return made


def fill(template: str, words: str, label: str, chance: random.Random) -> str:
    """A template's words in place, in lower case and without punctuation at the end.

    Args:
        template: One of `TEMPLATES`.
        words: The split whose opinion words it gets.
        label: `POSITIVE` or `NEGATIVE`, the verdict of the sentence.
        chance: Where the choices come from.
    """
    side = LABELS.index(label)
    used: set[str] = set()
    plural = False

    def word(match: re.Match[str]) -> str:
        nonlocal plural
        slot, polarity = match.groups()
        if slot in PLURALS:
            return PLURALS[slot] if plural else slot
        if polarity:
            choices = _pool(slot, WORDS[words][LABELS[side if polarity == "=" else 1 - side]])
        elif slot == "part":
            plural = chance.random() < 0.35
            choices = MORE_PARTS if plural else ONE_PART
        else:
            choices = NEUTRAL[slot]
        chosen = chance.choice([choice for choice in choices if choice not in used])
        used.add(chosen)
        return chosen

    def clause(match: re.Match[str]) -> str:
        chosen = chance.choice(CLAUSES[match[1]])
        return chosen if match[2] == "=" else chosen.translate(str.maketrans("=!", "!="))

    text = re.sub(rf"\{{({'|'.join(CLAUSES)})([=!])\}}", clause, template)
    text = re.sub(r"\[(.*?)\|(.*?)\]", lambda m: m[1 + side], text)
    text = re.sub(r"<(.*?)>", lambda m: chance.choice(m[1].split("|")), text)
    text = re.sub(r"\{([\w']+)([=!]?)\}", word, text)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _pool(slot: str, lists: dict[str, Words]) -> Words:
    """The words of a slot: adjectives, nouns, or verbs in the form that it asks for."""
    words = [word for name in POOLS[slot] for word in lists[name]]
    if slot in {"like", "love", "liked", "loved"}:
        return tuple(word.split("/")[slot.endswith("d")] for word in words)
    if slot == "long":
        return tuple(word for word in words if len(word) > 6 and not word.endswith("y"))
    return tuple(words)


def _dress(text: str, split: str, label: str, chance: random.Random) -> str:
    """A sentence as people type it: opener, second sentence, contractions, case, punctuation."""
    if chance.random() < 0.35:
        text = f"{chance.choice(OPENERS[split].split('|'))} {text}"
    end = chance.choices([".", "!", "...", ""], [75, 10, 5, 10])[0]
    ended = text[-1] in ".?!"
    if chance.random() < 0.15:
        closer = chance.choice(WORDS[split][label]["closer"])
        text += f" {closer}" if ended else f"{end or '.'} {closer}"
    elif not ended:
        text += end
    text = re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text)
    style = chance.choices(["short", "long", "bare", "curly"], [50, 27, 13, 10])[0]
    if style == "long":
        text = _lengthen(text)
    elif style == "bare":
        text = re.sub(r"(?i)(n't|\bit's|\bthere's)\b", lambda m: m[0].replace("'", ""), text)
    elif style == "curly":
        text = text.replace("'", "’")
    case = chance.choices(["as it is", "lower", "upper"], [88, 10, 2])[0]
    return {"as it is": text, "lower": text.lower(), "upper": text.upper()}[case]


def _lengthen(text: str) -> str:
    """Without contractions; the first letter stays as it is."""
    for pair in LONG_FORMS:
        short, long = pair.split("/")
        text = re.sub(rf"(?i)\b({short[0]}){short[1:]}\b", rf"\g<1>{long[1:]}", text)
    return text.replace("n't", " not")


def write(folder: Path, rows: Mapping[str, int] = ROWS, seed: int = 0) -> None:
    """Both splits as JSON lines, `FOLDER/train.jsonl` and `FOLDER/validation.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, number in rows.items():
        lines = (json.dumps(row, ensure_ascii=False) for row in make(split, number, seed))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m train.patterns", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    for split, number in ROWS.items():
        parser.add_argument(f"--{split}-rows", type=int, default=number)
    given = parser.parse_args(arguments)
    rows = {split: getattr(given, f"{split}_rows") for split in ROWS}
    write(given.out, rows, given.seed)


if __name__ == "__main__":
    main()
