"""What of a model decides the memory that it takes: layers, widths, windows, states.

Read from the GGUF header alone, as llama.cpp reads it. Where llama.cpp has special rules for an
architecture, they stand in the tables here; an architecture in no table is counted as plain full
attention, which is never less than what a special rule would take.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from puna.errors import Invalid
from puna.models.gguf import GgufArray, GgufHeader

MOST_LAYERS = 512
"""llama.cpp's own limit; a file that claims more aborts the process that loads it."""
_MOST = 2**32 - 1
"""Numbers in a header are 32 bits wide where llama.cpp reads them."""


class ImpossibleModel(Invalid):
    """The file describes a model that cannot be; the message says which number is wrong."""

    code = "impossible_model"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer remembers: keys and values of each token, and a state of each slot."""

    key_width: int = 0
    """Numbers kept as key of one token; 0 where the layer has no attention."""
    value_width: int = 0
    index_width: int = 0
    """Numbers kept of one token to choose what to attend to (sparse attention)."""
    has_window: bool = False
    """Only the last tokens are kept, as many as the model's window."""
    state_size: int = 0
    """Bytes of the recurrent state of one slot."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """All numbers of a model that its memory is computed from."""

    layers: tuple[Layer, ...]
    window: int
    embedding: int
    feed_forward: int
    """The widest feed-forward layer that computes every token."""
    experts_used: int
    expert_width: int
    heads: int
    query_width: int
    state_width: int
    """Numbers that the widest recurrent layer computes for one token."""
    vocabulary: int
    merges: int
    is_upper_bound: bool
    """The architecture has rules of its own that are not known here: the figures are at most so."""

    @property
    def only_encodes(self) -> bool:
        """Whether it remembers nothing from token to token: a whole text is computed at once."""
        return not any(layer.key_width or layer.state_size for layer in self.layers)


@dataclass(frozen=True, slots=True)
class _Windows:
    """How an architecture mixes windowed and full attention, where the file does not say."""

    period: int = 0
    """Every so many layers one has full attention; 0 means that the file must list the layers."""
    full_first: bool = False
    default: int = 0
    """The window where the file names none; 0 means that then there are none."""
    fixed: int = 0
    """The window whatever the file says."""


_WINDOWS: Mapping[str, _Windows] = MappingProxyType(
    {
        "afmoe": _Windows(4),
        "cohere2": _Windows(4),
        "cohere2moe": _Windows(4, full_first=True),
        "dots3note": _Windows(),
        "exaone-moe": _Windows(4, default=128),
        "exaone4": _Windows(4, default=4096),
        "gemma2": _Windows(2, default=4096),
        "gemma3": _Windows(6),
        "gemma3n": _Windows(5),
        "gemma4": _Windows(),
        "gpt-oss": _Windows(2),
        "granite_swa": _Windows(),
        "laguna": _Windows(4, full_first=True),
        "lfm2": _Windows(),
        "lfm2moe": _Windows(),
        "llama4": _Windows(4, default=8192, fixed=8192),
        "maple": _Windows(),
        "mellum": _Windows(4),
        "mimo2": _Windows(),
        "muse-glimmer": _Windows(4),
        "olmo2": _Windows(4),
        "plamo3": _Windows(8),
        "smallthinker": _Windows(4, full_first=True, fixed=4096),
        "spark2_5": _Windows(),
        "step35": _Windows(),
    }
)
_WINDOWED_THROUGHOUT = frozenset({"lfm2", "lfm2moe"})
_EXAONE4_WITH_WINDOWS = 64
"""Layers of the only exaone4 that has windows."""

_WITHOUT_CACHE = frozenset(
    {
        "bert",
        "clef",
        "dream",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llada",
        "llada-moe",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "rnd1",
        "wavtokenizer-dec",
    }
)
_RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
_RECURRENT_WITHOUT_HEADS = frozenset(
    {
        "bailingmoe3",
        "glm5-next",
        "granitehybrid",
        "jamba",
        "kimi-k3",
        "kimi-linear",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "plamo2",
    }
)
"""Architectures whose layers are recurrent where they have no key-value heads."""
_RECURRENT_WITHOUT_FEED_FORWARD = frozenset({"nemotron_h", "nemotron_h_moe"})
_FULL_ATTENTION_EVERY: Mapping[str, int] = MappingProxyType(
    {"minimax-01": 8, "qwen35": 4, "qwen35moe": 4, "qwen3next": 4, "qwen4exp": 4}
)
_BOTH_IN_EACH_LAYER = frozenset({"falcon-h1"})
_LAYERS_WITH_CACHE: Mapping[str, int] = MappingProxyType({"gemma3n": 20})
"""Layers that keep keys and values; the others reuse theirs."""
_OWN_RULES = frozenset({"deepseek4", "dflash", "eagle3", "gemma4-assistant", "graniteswitch"})


def shape_of(header: GgufHeader) -> ModelShape:
    """Return the shape of the model that `header` describes. Raises `ImpossibleModel`."""
    keys = _Keys(header)
    layers = tuple(_layer(keys, number) for number in range(keys.layer_count))
    heads = max(keys.each("attention.head_count"), default=0)
    head_width = max(keys.head_width("key", windowed=False), keys.head_width("key", windowed=True))
    key_width = max((layer.key_width for layer in layers), default=0)
    return ModelShape(
        layers=layers,
        window=keys.window,
        embedding=keys.whole("embedding_length"),
        feed_forward=_feed_forward(keys),
        experts_used=max(keys.each("expert_used_count"), default=0),
        expert_width=_expert_width(keys),
        heads=heads,
        query_width=max(heads * head_width, keys.widest("attn_q.weight"), key_width),
        state_width=_state_width(keys) if any(layer.state_size for layer in layers) else 0,
        vocabulary=keys.vocabulary,
        merges=_count(header, "tokenizer.ggml.merges"),
        is_upper_bound=keys.architecture in _OWN_RULES,
    )


class _Keys:
    """The header's numbers, each checked, as llama.cpp understands them."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.architecture = {"gptoss": "gpt-oss"}.get(header.architecture, header.architecture)
        self._lists: dict[str, tuple[int, ...]] = {}
        self.layer_count = self._layer_count()
        self.window = self._window()
        self._windowed = self._windowed_layers()

    def whole(self, name: str, default: int = 0) -> int:
        """Return a number, or `default` where there is none."""
        value = self.header.integer(self.header.own_key(name))
        return default if value is None else self._checked(name, value)

    def each(self, name: str) -> tuple[int, ...]:
        """Return a number for each layer, whether the file has one for all or a list."""
        if name not in self._lists:
            self._lists[name] = self._list(name)
        return self._lists[name]

    def _list(self, name: str) -> tuple[int, ...]:
        listed = self.header.metadata.get(self.header.own_key(name))
        if not isinstance(listed, GgufArray):
            return (self.whole(name),) * self.layer_count
        items = listed.items or ()
        numbers = [self._checked(name, item) for item in items if isinstance(item, int)]
        if len(numbers) < self.layer_count:
            raise ImpossibleModel(
                f'"{self.header.own_key(name)}" lists {len(numbers)} of {self.layer_count} layers'
            )
        return tuple(numbers[: self.layer_count])

    def has(self, name: str) -> bool:
        """Tell whether the file has the key."""
        return self.header.own_key(name) in self.header.metadata

    def is_windowed(self, layer: int) -> bool:
        """Tell whether a layer keeps only its window."""
        return self._windowed[layer]

    def head_width(self, what: str, *, windowed: bool) -> int:
        """Return the numbers of one head's key or value."""
        heads = max(self.each("attention.head_count"), default=0)
        shared = self.whole("embedding_length") // heads if heads else 0
        width = self.whole(f"attention.{what}_length", shared)
        return self.whole(f"attention.{what}_length_swa", width) if windowed else width

    def widest(self, ending: str) -> int:
        """Return the most numbers that any layer's tensor of this name computes for a token."""
        found = (
            tensor.shape[1]
            for tensor in self.header.tensors
            if len(tensor.shape) > 1 and tensor.name.endswith(f".{ending}")
        )
        return max(found, default=0)

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        return _count(self.header, "tokenizer.ggml.tokens") or self.whole("vocab_size")

    def _checked(self, name: str, value: int) -> int:
        if not 0 <= value <= _MOST:
            raise ImpossibleModel(
                f'"{self.header.own_key(name)}" is {value}: no model is like that'
            )
        return value

    def _layer_count(self) -> int:
        count = self.whole("block_count")
        if not 1 <= count <= MOST_LAYERS:
            raise ImpossibleModel(
                f"the model claims {count} layers; the engine takes 1 to {MOST_LAYERS}"
            )
        return count

    def _window(self) -> int:
        rule = _WINDOWS.get(self.architecture)
        if rule is None:
            return 0
        named = self.whole("attention.sliding_window", rule.default)
        if self.architecture == "exaone4" and self.layer_count != _EXAONE4_WITH_WINDOWS:
            return 0
        return rule.fixed if rule.fixed and named else named

    def _windowed_layers(self) -> tuple[bool, ...]:
        rule = _WINDOWS.get(self.architecture, _Windows())
        if not self.window:
            return (False,) * self.layer_count
        if self.architecture in _WINDOWED_THROUGHOUT:
            return (True,) * self.layer_count
        name = "attention.sliding_window_pattern"
        listed = self.header.array(self.header.own_key(name))
        if listed is not None and len(listed) >= self.layer_count:
            return tuple(bool(item) for item in listed[: self.layer_count])
        period = self.whole(name, rule.period)
        if not period:
            # Such a file does not load; counted as full attention it is never too little.
            return (False,) * self.layer_count
        full = 0 if rule.full_first else period - 1
        trunk = self.layer_count - self.whole("nextn_predict_layers")
        return tuple(n % period != full and n < trunk for n in range(self.layer_count))


def _layer(keys: _Keys, number: int) -> Layer:
    architecture = keys.architecture
    if architecture in _WITHOUT_CACHE or number >= _layers_with_cache(keys):
        return Layer()
    is_recurrent = _is_recurrent(keys, number)
    state = _state_size(keys) if is_recurrent or architecture in _BOTH_IN_EACH_LAYER else 0
    if is_recurrent:
        return Layer(state_size=state)
    windowed = keys.is_windowed(number)
    heads = _cached_heads(keys, number)
    is_latent = keys.whole("attention.key_length_mla") and keys.whole("attention.value_length_mla")
    return Layer(
        key_width=heads * keys.head_width("key", windowed=windowed),
        value_width=0 if is_latent else heads * keys.head_width("value", windowed=windowed),
        index_width=keys.whole("attention.indexer.key_length") if heads else 0,
        has_window=windowed,
        state_size=state,
    )


def _cached_heads(keys: _Keys, number: int) -> int:
    heads = keys.each("attention.head_count")[number]
    name = "attention.head_count_kv"
    return keys.each(name)[number] if keys.has(name) else heads


def _layers_with_cache(keys: _Keys) -> int:
    """Count the layers from the first that remember something of their own."""
    shared = keys.whole("attention.shared_kv_layers") if keys.architecture == "gemma4" else 0
    least = min(
        keys.layer_count - min(shared, keys.layer_count),
        _LAYERS_WITH_CACHE.get(keys.architecture, keys.layer_count),
    )
    # Layers for guessing several tokens ahead are not loaded, unless the model has no others.
    ahead = keys.whole("nextn_predict_layers")
    return least if ahead >= keys.layer_count else min(least, keys.layer_count - ahead)


def _is_recurrent(keys: _Keys, number: int) -> bool:
    architecture = keys.architecture
    if architecture in _RECURRENT:
        return True
    if architecture in _RECURRENT_WITHOUT_HEADS:
        is_headless = _cached_heads(keys, number) == 0
        if architecture in _RECURRENT_WITHOUT_FEED_FORWARD:
            return is_headless and keys.each("feed_forward_length")[number] == 0
        return is_headless
    every = _FULL_ATTENTION_EVERY.get(architecture)
    if every is None:
        return False
    if keys.has("attention.recurrent_layers"):
        return keys.each("attention.recurrent_layers")[number] != 0
    every = keys.whole("full_attention_interval", every)
    return (number + 1) % every != 0 if every else True


_FLOAT = 4
"""Bytes of one number of a recurrent state, whatever the type of the key-value cache."""


def _state_size(keys: _Keys) -> int:
    """Return the bytes that one recurrent layer keeps for one slot."""
    embedding = keys.whole("embedding_length")
    heads = max(keys.each("attention.head_count"), default=0)
    head = keys.whole("kda.head_dim")
    if size := keys.whole("wkv.head_size"):
        numbers = embedding * (keys.whole("token_shift_count", 2) + size)
    elif kept := keys.whole("shortconv.l_cache"):
        numbers = embedding * (kept - 1)
    elif head:
        numbers = 3 * _kept_columns(keys, 4) * heads * head + heads * head * head
    elif keys.architecture == "minimax-01":
        numbers = heads * keys.head_width("key", windowed=False) ** 2
    else:
        numbers = _kept_columns(keys, 1) * _convolved(keys)
        numbers += keys.whole("ssm.state_size") * keys.whole("ssm.inner_size")
    return numbers * _FLOAT


def _kept_columns(keys: _Keys, default: int) -> int:
    return max(0, (keys.whole("ssm.conv_kernel") or default) - 1)


def _convolved(keys: _Keys) -> int:
    groups = 2 * keys.whole("ssm.group_count") * keys.whole("ssm.state_size")
    return keys.whole("ssm.inner_size") + groups


def _state_width(keys: _Keys) -> int:
    mixed = keys.whole("ssm.inner_size") + _convolved(keys) + keys.whole("ssm.time_step_rank")
    return max(mixed, 3 * keys.whole("embedding_length"))


def _feed_forward(keys: _Keys) -> int:
    claimed = max(keys.each("feed_forward_length"), default=0)
    if not keys.whole("expert_count"):
        return claimed
    shared = keys.whole("expert_shared_feed_forward_length")
    return max(keys.widest("ffn_up.weight"), keys.widest("ffn_up_shexp.weight"), shared)


def _expert_width(keys: _Keys) -> int:
    claimed = max(keys.each("expert_feed_forward_length"), default=0)
    return max(claimed, keys.widest("ffn_up_exps.weight"), keys.widest("ffn_gate_up_exps.weight"))


def _count(header: GgufHeader, key: str) -> int:
    value = header.metadata.get(key)
    return value.count if isinstance(value, GgufArray) else 0
