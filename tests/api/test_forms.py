"""A form with a file is read the same however its bytes are cut on the way."""

from hypothesis import given, settings, strategies as st

from puna.node.api.forms import FormReader
from tests.api.batches import BOUNDARY, a_form


@given(content=st.binary(max_size=200), cuts=st.lists(st.integers(1, 60), max_size=12))
@settings(max_examples=60)
def test_a_form_may_come_in_any_pieces(content: bytes, cuts: list[int]) -> None:
    form, got = a_form(content, purpose="batch"), b""
    reader = FormReader(BOUNDARY.encode(), "file")
    for cut in cuts:
        got += reader.feed(form[:cut])
        form = form[cut:]
    got += reader.feed(form)
    told = reader.form()
    assert (got, told.filename, told.fields) == (content, "rows.jsonl", {"purpose": "batch"})
