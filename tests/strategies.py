"""What the property-based tests draw: values of core, and the words that people type."""

from __future__ import annotations

from hypothesis import strategies as st

from bocker.core import lifecycle
from bocker.core.addresses import Interface, Subnet
from bocker.core.ids import FIRST, LAST_CONTAINER, LAST_IMAGE, ContainerId, ImageId
from bocker.core.limits import Limits
from bocker.core.model import ContainerRecord, ProcessIdentity

# What os.fsdecode can bring: any text, and any byte that is not UTF-8 as a surrogate.
ARGUMENT = st.text(
    st.one_of(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
        st.integers(0xDC80, 0xDCFF).map(chr),
    ),
    max_size=20,
)
WORDS = st.lists(ARGUMENT, min_size=1, max_size=6).map(tuple)

CONTAINER_IDS = st.integers(FIRST, LAST_CONTAINER).map(ContainerId)
IMAGE_IDS = st.integers(FIRST, LAST_IMAGE).map(ImageId)

# What reaches the parsers: words made of the characters that mean something to them, and anything.
SHAPED = st.text("ps_img_0123456789.:/-+eExabcABC \n~[]*$", max_size=24)
ANY_WORD = st.one_of(SHAPED, ARGUMENT)

_PREFIX_LENGTHS = st.integers(16, 30)


@st.composite
def subnets(draw: st.DrawFn) -> Subnet:
    """Draw a subnet that containers can live in."""
    prefix_length = draw(_PREFIX_LENGTHS)
    network = draw(st.integers(0, 2**prefix_length - 1)) << (32 - prefix_length)
    return Subnet(network, prefix_length)


@st.composite
def gateways(draw: st.DrawFn) -> Interface:
    """Draw a bridge's address: any host of any subnet that containers can live in."""
    subnet = draw(subnets())
    return Interface(draw(st.integers(subnet.network + 1, subnet.broadcast - 1)), subnet.prefix_length)


NUMBERS = st.integers(0, 2**63)
IDENTITIES = st.builds(ProcessIdentity, st.text(max_size=36), NUMBERS, NUMBERS)
LIMITS = st.builds(Limits, NUMBERS, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
CONTAINER_RECORDS = st.builds(
    ContainerRecord,
    id=CONTAINER_IDS.map(str),
    image=ARGUMENT,
    image_source=ARGUMENT,
    command=WORDS,
    created_ns=NUMBERS,
    state=st.sampled_from(lifecycle.STATES),
    name=st.none() | ARGUMENT,
    supervisor=st.none() | IDENTITIES,
    process=st.none() | IDENTITIES,
    started_ns=st.none() | NUMBERS,
    finished_ns=st.none() | NUMBERS,
    exit_code=st.none() | st.integers(0, 255),
    oom_killed=st.booleans(),
    remove_on_exit=st.booleans(),
    limits=LIMITS,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ARGUMENT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ARGUMENT, inner, max_size=4),
    max_leaves=20,
)
