"""In which numbers products are computed where nobody has said so."""

import pytest
import torch

from radlite.precision import chosen

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "about", "expected"),
    [
        (True, {"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True}, torch.bfloat16),
        (False, {"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True}, None),  # slower than float32 there
        (False, {"cpu_name": "AMD EPYC", "avx512_bf16": True}, torch.bfloat16),
        (False, {"cpu_name": "AMD EPYC", "avx512_bf16": False}, None),
        (False, {"cpu_name": "Neoverse-N1"}, None),
    ],
)
def test_bf16_is_taken_where_it_was_measured_to_be_faster(monkeypatch, amx, about, expected):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: about, raising=False)
    assert chosen(None, CPU) is expected
    assert chosen("no", CPU) is None and chosen("bf16", CPU) is torch.bfloat16


def test_a_torch_that_does_not_tell_what_the_processor_can_is_no_error(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert chosen(None, CPU) is None
