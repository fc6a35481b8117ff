"""How customers say what they want, in plain words (see `spelling`), one way a line.

Words follow each other. `a |b` is either, `a?` may be missing, `a*` has any ending, `a_b` is two words inside a
choice, `..` skips a few words, `^` and `$` stand for the clause's start and end, `~` for a word or none, `!a` must
not come next, `{name}` is a list below. A line that begins with `|` goes on with the choice before it. A line is only
tried on a clause that has one of its `triggers`, so that a long table stays quick.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from greenroom.agents.support.vocabulary import words

LISTS = {
    "thing": "order|parcel|package|shipment|delivery|purchase|stuff|item|items",
    "it": "it|this|that|them|these|one|everything|order|parcel|package|shipment|delivery|purchase|stuff|item|items|things",
    "my": "my|the|this|that|our|a|an|any|whole|entire",
    "n": r"#?\d{3,}",
    "human": "human|humans|human_being|person|representative|rep|manager|supervisor|operator|superior|boss|someone|somebody"
    "|executive|colleague|specialist|advisor|real_people|support_agent|live_agent|real_agent|human_agent|customer_care"
    "|customer_service|your_team",
}

CLEAR = {
    "off_limits": """
        ignore|forget|disregard|override all|any? of? the|your|my? previous|prior|above|earlier? instructions
            |rules|prompt|guidelines
        system|hidden|your prompt
        all|other|another|every|any the|of_the? customer*|user*|people|persons orders|data|details|address
            |addresses|names|info|information
        orders|data|details|address|addresses|info|information|names of|for|from all|other|another|every|your
            |different customer*|user*|people|person
        address|details|order|orders|name|data|number|phone of|for|from a|the|another? customer|user|account
        who placed|owns|made|ordered
        whose order|name|parcel|package
        who does .. belong to
        whole|entire|customer database
        """,
    "policy": """
        policy|policies|terms|warranty|warranties|guarantee|exchange|replacement|replacements|voucher|vouchers
            |coupon|coupons|promo
        discount|discounts|customs|invoice|invoices|receipt|privacy|compensation|compensate|goodwill
            |instalments|installments|emi|cod
        gift card|cards
        cash on delivery
        final sale
        opening|business|working|office|support hours
        how long do|does|will|would a|the|your|my|it? usual? refund|refunds|return|returns|shipping|delivery
            |deliveries|cancellation
        how long|many_days do|have i|you|we have|got
        how many days
        how long .. money|refund|get_it_back|money_back
        if .. can|could|may i|he|she|they|we return|refund|exchange|send
        can|could|may he|she|they return|exchange
        shipping|delivery|cancellation|return|restocking|refund|late|handling cost|costs|fee|fees|charge
            |charges|options|rate|rates|price|window|period
        do|can|could|will you|we ship|deliver to|in|on|at|outside|abroad|overseas|international*
        payment method|methods|option|options|plan|plans
        pay later|by|with|in|on
        forgot|reset|change my|the? password
        delete my account|data|information
        price match
        personal data|information
        how do|can|should i|we|one|you return|cancel|refund|exchange a|an|items|products|something|things
        can|could|do|will|would|get|happens .. if it|they|the_order|the_parcel|my_order|my_parcel|that arrives|comes|gets|does
        reorder
        change|modify|edit|amend my|the|an|this order $
        change|modify|edit|amend my|the|an|this? order {n} $
        add|remove|change|swap .. to|from my|the|it|this|order
        quantity
        instead of \\d
        pick|collect it|my_order|my_parcel|this|them up|myself|in
        buy|order|purchase it|this|the_same|one again
        how do|does|can .. returns|refunds|cancellations|shipping|delivery work
        can|may|could i|you|we|customers|one return|cancel|refund an|a item|order|product|purchase
        can|may|could i|you|we|customers|one return items|orders|products|something|things|opened|used|worn
            |shoes|clothes|food|electronics
        charged|charge|pay|cost .. fee|extra|penalty|anything
        is|are there a|any? ~ fee|fees|charge|charges|cost|costs|penalty|deadline|limit
        what happens|if
        """,
    "human": """
        talk|speak|chat|connect|transfer|pass|put|switch|hand|get|give|want|need|escalate|contact|reach|let
            |bring|prefer .. {human} !else
        ^ a|an? real|live|actual? {human}|agent please|now? $
        ^ please? agent please? $
        real|actual|live|human person|human|agent
        talk|speak|connect|chat|transfer .. agent
        want|need|get|give an|the agent
        someone|somebody|anyone .. call|contact|ring|phone me|us
        escalat*
        formal complaint
        call me back? $
        """,
    "refund_status": """
        where|status|when|update|news|track|check|progress .. my|the|a|that refund|money_back|money
        refund|money .. not yet? arrived|come|reached|been|received|shown|credited
        refund|money|refund_for_{n} .. processed|credited|gone_through|come_through|still_pending|yet_to
        refund status
        has|have|is|was|did my|the|that? refund|refunded|money_back yet|processed|arrived|issued|sent|done|gone
            |complete|completed|been|come
        has|have|did|is|was .. refund|money_back|refunded .. yet|processed|arrived|issued|completed
        not yet? received|got|gotten|seen my|the|a|any? refund|money
        been|was|am|i refunded
        refund|money .. on_its_way|on_the_way|under_way|go_through|gone_through|went_through|going_through
        is|are|has|have it|this|that|{n}|order|my_order|the_order refunded
        did|have you ~ refund|refunded
        """,
    "refund": """
        refund|refunding|reimburse*|chargeback
        refunded
        money back
        return|returning my|the|these|those|a? ~ it|this|that|them|order|parcel|package|item|items|product
            |shoes|stuff|one|{n}
        send|sending|give|giving|bring|take it|this|that|them|the_order|my_order|the_item|the_parcel back
        want|like|need|have to return
        ^ return|returns please? $
        make|start a return
        {n} return|returning
        return please|pls $
        charge back
        paisa wapas|back
        """,
    "cancel": """
        cancel|cancelling|cancellation
        want|like|need|get|have it|this|that|{thing}|my_order|the_order|{n}|order_{n}? to_be? cancelled
        stop it|this|that|them|that_order $
        call it|this|that|the_order|my_order off
        scrap|abort|undo|revoke|withdraw|stop|drop {my}? order|purchase|shipment|delivery
        do not ship|send|deliver {my}? {it}
        no_longer|do_not|not want|need|wish_to_have {my}? {it} anymore|any_more|now|any_longer|any? $
        no_longer|do_not want|need {my}? {thing}? {n}
        no_longer want|need {my}? {it}
        """,
    "address": """
        change|changed|changing|update|updated|edit|modify|correct|fix|switch|amend|replace|new|different
            |another|wrong|incorrect|old|mistake|typo|error|not .. address|delivery_location|destination
            |pin_code|pincode|zip|zip_code|house_number
        address .. change|changed|wrong|incorrect|update|updated|mistake|typo|not_right|not_correct|old
            |outdated|should_be
        redirect|reroute|divert
        deliver|ship|send it|this|that|them|my_order|the_order|my_parcel|the_parcel|my_package|order_{n}
            |{n} {n}? to|at|somewhere !me
        i|we have? just? moved|moving|shifted
        i am moving
        moved house|home|out
        somewhere|someplace else
        ‹address›
        """,
    "list": """
        list|show|see|view|give|tell|display|pull .. my|the|all ~ orders
        what|which|how_many|any ~ ~ orders .. have|placed|there|open|mine|do|on
        order|purchase history
        ^ please? list|show them|those|it|me|please
        all|recent|past|previous|open|other|latest of? my? orders
        my orders
        do not|even know|remember|have|recall|see .. number|id|it_handy|it_with_me|it_on_me
        do not|even know|remember|recall it $
        can|could|do not find|remember|recall|locate .. number|id|email|confirmation
        lost|forgot|forgotten|misplaced .. number|id|it|confirmation
        no idea .. number|id|what
        i do not know $
        ^ no idea $
        can|could you find|look it up? for_me|by|with|without
        what is|was my|the order? number|id
        """,
    "expedite": """
        expedite|hurry|rush|prioriti*|faster|quicker|sooner|earlier|express|quickly
        speed it|this|things|up|my
        ship|send|deliver|get it|this|my_order|my_parcel|my_package .. today|tonight|right_now|immediately|asap
            |right_away
        """,
    "problem": """
        damaged|broken|defective|faulty|cracked|smashed|torn|leaking|scratched|spoiled|rotten|expired|shattered
            |dented|incomplete|stolen|theft
        dead on arrival
        does|do|did|is|will not ~ work|working|turn_on|fit|charge|switch_on
        stopped working
        wrong item|items|product|size|color|colour|model|thing|things|order|one|package|parcel !address
        item|items|part|parts|piece|something|thing is|are|was|were? missing
        missing a|an|one|some|two|the|my? item|items|part|parts|piece|pieces|from
        not what i ordered|bought
        empty|opened|tampered box|package|parcel
        box|package|parcel|seal was|is|came|arrived empty|open|opened|torn|wet|crushed
        charged .. twice|double|two_times
        double charged
        says|said|saying|shows|showing|marked|listed .. delivered .. not|never|nothing|no
        """,
    "details": """
        what is|was|were|are in|inside|included
        what ~ did|have i order|buy|bought|ordered|purchase
        how much is|was|did|does|for|do
        order|purchase details|summary|contents|total|amount
        details of|for|about|on
        which|what item|items|product|products|things
        total of|for|cost|price|amount
        which|what address
        where is|are|will|was it|you|my_order|this|the_order be|being? delivered|going|sent|delivering|shipping to?
        where .. delivered|shipped|sent|going to
        how did|have i pay|paid
        when did i order|buy|place|purchase
        """,
    "status": """
        status|track|tracking|tracked|eta|whereabouts|locate|estimated
        where is|are|was|has|did|exactly? {my}? {it}|{n}
        where is|the|my|in|on|exactly
        where {thing}|it|{n}
        {thing}|it|{n} is? where|kahan
        when .. arrive|arriving|arrives|come|coming|ship|shipped|shipping|ships|deliver|delivered|get|here
            |reach|receive|dispatch|dispatched|expect|sent|leave|leaving|ready|show|{thing}|{n}|it|go|going
        has|have|is|are|was|did|does|will|been|if|whether .. ship|shipped|shipping|sent|dispatch|dispatched
            |gone_out|going_out|go_out|left|leave|leaving|on_its_way|on_the_way|out_for_delivery|delivered
            |arrive|arrived|arriving|be_here|ready|lost|processed|moving|moved|delayed|coming|confirmed|gone
            |prepared|packed|cancelled
        carrier|courier
        any|an|some ~ update|updates|news|progress|word|information|info
        update|news|info|progress|updated me? on|about|for|regarding
        update me
        ^ so|and? did|has it|that|this work|worked|happen|happened|go_through|gone_through
        did|have you ~ cancel|cancelled|change|changed it|this|that|{n}|order|my_order|the_order
        how is|are|about my|the? order|parcel|package|delivery|{n}|it_going|it_coming|it_doing
        how long|soon|much_longer|far|many_hours|many_more_days
        what is? happen|happened|happening|happens|going_on|up_with|the_deal|the_hold_up|the_latest
        check|checking|follow|following in? on|up
        """,
    "abilities": """
        what can|do|could|would you do|help|offer|handle|suggest
        how can|do|could you help
        what are my|the options
        what are|will|can|would you going_to|gonna? do about|now|for
        ^ options $
        what else can|could|do
        how does this work
        """,
    "identity": """
        are you a|an|really|even|actually? a|an? real? bot|robot|human|real|ai|person|machine|chatbot|computer
            |automated
        who are you
        what is your name
        what are you $
        am i talking|speaking|chatting to|with
        is this a|an|really? real? bot|robot|human|person|ai|real|automated|machine|chatbot
        """,
    "how_are_you": """
        how are you|things doing|today? $
        how are you|things
        how is your day|morning|evening
        how is it|everything going $
        what is up $
        how do you do
        """,
    "thanks": """
        thank|thanks|appreciate
        great|good|nice job|work
        you|that|this are|is very|so|really? great|awesome|amazing|helpful|the_best|perfect|wonderful|brilliant
        ^ great|perfect|awesome|cool|nice|wonderful|excellent|brilliant|good $
        """,
    "goodbye": """
        bye|goodbye|goodnight|farewell
        good night
        see you|ya
        that is|was|will_be|would_be all|it|everything
        nothing else|more
        have a good|nice|great|lovely
        i|we am|are good|done|set
        all good|set|done
        take care
        """,
    "greeting": """
        ^ hi|hello|hey|hiya|greetings|namaste|morning|howdy|yo|hola|dear
        ^ good morning|afternoon|evening|day
        test message
        ^ test|testing $
        """,
    "small_talk": """
        joke|weather|football|cricket|soccer|movie|song|poem|recipe|politics|president|favourite|favorite
        capital of
        meaning of life
        write me? a|some code|python|essay|story|script
        do you like|love|eat|sleep|dream
        """,
}
"""Said so, it is meant."""

VAGUE = {
    "late": """
        not|never|nothing|still|no .. arrive|arrived|come|came|receive|received|delivered|got|gotten|get
            |turned_up|show_up|showed_up|shown_up|reached|here|shipped|moved|parcel|package
        late|delay|delayed|delays|overdue|stuck|lost|behind_schedule
        taking so|too|forever|ages
        still|been waiting
        been .. days|weeks|month|months|hours|week
        waiting for|on|since
        too|so long
        should have arrived|come|been
        supposed to
        where
        when $
        need it|this|them|my_order|my_parcel|my_package by|before|today|tomorrow|now|urgently|asap|tonight
        """,
    "help": """
        help|helped|helping|assist|assistance|support
        problem|problems|issue|issues|trouble|question|questions|query|concern|matter|situation|complaint|complain
        look|find|check|pull|bring|open|search|see|locate .. order|parcel|package|purchase|{n}|it
        about|regarding|concerning|with|for|re {my}? {thing}
        {my} {thing}
        ^ order|parcel|package
        i have? ordered|bought|purchased|placed
        """,
    "policy": """
        returns|refunds|shipping|deliveries|cancellations|payments
        if i am|do|want|return|cancel|miss|refuse
        do|can|are|is you|we|customers offer|have|accept|allow|provide|sell|open|able|charge
        """,
}
"""Said so, it may be meant: the clear ones go before."""

_SIGNS = {"..": ".{0,40}?", "~": r"(?:\w+\s+)?", "^": r"^\W*", "$": r"\W*$"}


_CONTINUED = re.compile(r"\n\s*\|")
_EVERYDAY = words(
    "a an the my your this that it is are was were i you we do does did has have had to of in on for not no been be can"
    " could will would am what how any and at if or one now so me all order"
)


@dataclass(frozen=True)
class Line:
    """A way of saying something, and words of which one must be there for it to match at all. None: it has no such words."""

    source: str
    triggers: frozenset[str] | None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when first tried: most lines are not needed for long."""
        return re.compile(self.source)


def read_lines(text: str) -> Iterator[Line]:
    """The lines of an entry of the tables."""
    for name, choice in LISTS.items():
        text = text.replace("{" + name + "}", choice)
    for line in _CONTINUED.sub("|", text).strip().splitlines():
        parts = line.split()
        yield Line("".join(_part(part) for part in parts), _triggers(parts))


def _triggers(parts: list[str]) -> frozenset[str] | None:
    """The choice that everyday words are least likely to fulfil."""
    choices = [
        frozenset(way.rpartition("_")[2] for way in word.split("|"))
        for word in parts
        if word not in _SIGNS and not word.startswith("!") and not word.endswith("?")
    ]
    literal = [choice for choice in choices if all(way.isalpha() for way in choice)]
    return min(literal, key=lambda choice: (len(choice & _EVERYDAY), len(choice)), default=None)


def _part(word: str) -> str:
    if word in _SIGNS:
        return _SIGNS[word]
    choice = "|".join(way.replace("*", r"\w*").replace("_", r"\s") for way in word.strip("!?").split("|"))
    if word.startswith("!"):
        return rf"(?!\W*(?:{choice})\b)"
    return rf"(?:(?<!\w)(?:{choice})(?!\w)\s*){'?' if word.endswith('?') else ''}"
