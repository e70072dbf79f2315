"""Templates, registry credentials and secrets: an account's own, and templates for all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from puna.market.actions import registries, secrets, templates
from puna.market.db.database import Transaction
from puna.market.db.secrets import Registry, Secret
from puna.market.db.templates import Template
from puna.market.domain.templates import Preset, TemplateWish
from puna.market.http.graph.asked import Asked, Field, Shape, Words
from puna.market.http.graph.wishes import env_of, ports_of
from puna.market.http.pages import every
from puna.wire.agent import Credential


def template_shape(template: Template) -> Shape:
    """Return a `PodTemplate`."""
    preset = template.preset
    return {
        "id": template.id,
        "name": template.name,
        "imageName": preset.image,
        "dockerArgs": preset.args,
        "containerDiskInGb": preset.disk_gb,
        "volumeInGb": preset.volume_gb,
        "volumeMountPath": preset.volume_path,
        "ports": ",".join(preset.ports),
        "portsConfig": [
            {"port": port, "name": name} for port, name in sorted(preset.port_names.items())
        ],
        "env": [{"key": name, "value": value} for name, value in preset.env.items()],
        "isServerless": preset.is_serverless,
        "isPublic": template.is_public,
        "isRunpod": template.is_official,
        "category": preset.category,
        "containerRegistryAuthId": template.registry or "",
        "readme": preset.readme,
        "startSsh": preset.starts_ssh,
        "startJupyter": preset.starts_jupyter,
        "startScript": "",
        "advancedStart": False,
        "earned": 0.0,
        "runtimeInMin": 0,
    }


def template_wish(words: Words, before: TemplateWish | None) -> TemplateWish:
    """Return the template that was sent. What was left out stays as it was, or is empty."""
    old = before.preset if before else Preset(image="")
    preset = replace(
        old,
        image=words.get("imageName", old.image) or "",
        args=words.get("dockerArgs", old.args) or "",
        env=env_of(words) if "env" in words else old.env,
        ports=ports_of(words) if "ports" in words else old.ports,
        port_names=_port_names(words) if "portsConfig" in words else old.port_names,
        disk_gb=words.get("containerDiskInGb") or old.disk_gb,
        volume_gb=_said(words, "volumeInGb", old.volume_gb),
        volume_path=words.get("volumeMountPath") or old.volume_path,
        category=words.get("category") or old.category,
        readme=words.get("readme", old.readme) or "",
        is_serverless=bool(_said(words, "isServerless", old.is_serverless)),
        starts_ssh=bool(_said(words, "startSsh", old.starts_ssh)),
        starts_jupyter=bool(_said(words, "startJupyter", old.starts_jupyter)),
    )
    registry = words.get("containerRegistryAuthId", before.registry if before else None)
    return TemplateWish(
        name=(words.get("name") or (before.name if before else "")).strip(),
        preset=preset,
        is_public=bool(_said(words, "isPublic", before.is_public if before else False)),
        registry=registry or None,
    )


async def _pod_templates(asked: Asked, words: Words) -> Sequence[Shape]:
    """Return official ones, those that others show to all, or both, and whatever is one's own."""
    official = words.get("isRunpod")
    found: list[Template] = []
    if official is not False:
        found += templates.official_templates()
    if not official:
        async with asked.reading() as tx:
            found += await every(lambda after, limit: _public(tx, after, limit))
    serverless = words.get("isServerless")
    return [
        template_shape(each)
        for each in found
        if serverless is None or each.preset.is_serverless is serverless
    ]


async def _own_templates(_user: object, asked: Asked, _words: Words) -> Sequence[Shape]:
    account = asked.account
    async with asked.reading() as tx:
        found = await every(
            lambda after, limit: templates.own_templates(tx, account, after=after, limit=limit)
        )
    return [template_shape(each) for each in found]


async def _template(asked: Asked, words: Words) -> Shape:
    async with asked.reading() as tx:
        return template_shape(await templates.template_of(tx, asked.account, words.get("id") or ""))


async def _save_template(asked: Asked, words: Words) -> Shape:
    """Make a template, or replace what one says where an id is sent."""
    async with asked.writing() as tx:
        if not words.get("id"):
            wish = template_wish(words, None)
            made = await templates.create_template(tx, asked.market.world, asked.account, wish)
            return template_shape(made)
        before = await templates.template_of(tx, asked.account, words["id"])
        wish = template_wish(words, before.wish)
        return template_shape(await templates.update_template(tx, asked.account, before.id, wish))


async def _delete_template(asked: Asked, words: Words) -> None:
    async with asked.writing() as tx:
        wanted = words.get("id") or words.get("templateName") or ""
        await templates.delete_template(tx, asked.account, wanted)


async def _registries(_user: object, asked: Asked, _words: Words) -> Sequence[Shape]:
    account = asked.account
    async with asked.reading() as tx:
        found = await every(
            lambda after, limit: registries.registries_of(tx, account, after=after, limit=limit)
        )
    return [registry_shape(each) for each in found]


def registry_shape(registry: Registry) -> Shape:
    """Return a `RegistryAuth`."""
    return {"id": registry.id, "name": registry.name}


async def _save_registry(asked: Asked, words: Words) -> Shape:
    wish = registries.RegistryWish(name=words["name"], credential=_credential(words))
    async with asked.writing() as tx:
        made = await registries.create_registry(
            tx, asked.market.world, asked.market.seal, asked.account, wish
        )
    return registry_shape(made)


async def _update_registry(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        changed = await registries.update_registry(
            tx, asked.market.seal, asked.account, words["id"], _credential(words)
        )
    return registry_shape(changed)


async def _delete_registry(asked: Asked, words: Words) -> bool:
    async with asked.writing() as tx:
        await registries.delete_registry(tx, asked.account, words.get("registryAuthId") or "")
    return True


async def _secrets(_user: object, asked: Asked, _words: Words) -> Sequence[Shape]:
    account = asked.account
    async with asked.reading() as tx:
        found = await every(
            lambda after, limit: secrets.secrets_of(tx, account, after=after, limit=limit)
        )
    return [secret_shape(each) for each in found]


def secret_shape(secret: Secret) -> Shape:
    """Return a `Secret`, which never says its value."""
    return {
        "id": secret.id,
        "name": secret.name,
        "description": secret.description or None,
        "createdAt": secret.created,
    }


async def _create_secret(asked: Asked, words: Words) -> Shape:
    wish = secrets.SecretWish(
        name=words["name"], value=words["value"], description=words.get("description") or ""
    )
    async with asked.writing() as tx:
        made = await secrets.create_secret(
            tx, asked.market.world, asked.market.seal, asked.account, wish
        )
    return secret_shape(made)


async def _update_secret(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        changed = await secrets.update_secret(
            tx, asked.market.seal, asked.account, words["id"], words["value"]
        )
    return secret_shape(changed)


async def _describe_secret(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        said = words["description"]
        changed = await secrets.describe_secret(tx, asked.account, words["id"], said)
    return secret_shape(changed)


async def _delete_secret(asked: Asked, words: Words) -> bool:
    async with asked.writing() as tx:
        await secrets.delete_secret(tx, asked.account, words.get("id") or "")
    return True


async def _public(tx: Transaction, after: str, limit: int) -> Sequence[Template]:
    return await templates.public_templates(tx, after=after, limit=limit)


def _credential(words: Words) -> Credential:
    return Credential(username=words["username"], password=words["password"])


def _port_names(words: Words) -> Mapping[str, str]:
    pairs = [each for each in words.get("portsConfig") or () if each]
    return {each.get("port") or "": each.get("name") or "" for each in pairs}


def _said(words: Words, name: str, otherwise: Any) -> Any:  # noqa: ANN401 - whatever the field has
    said = words.get(name)
    return otherwise if said is None else said


FIELDS: Mapping[str, Field] = {
    "Query.podTemplates": _pod_templates,
    "Query.podTemplate": _template,
    "Query.getTemplate": _template,
    "User.podTemplates": _own_templates,
    "Mutation.saveTemplate": _save_template,
    "Mutation.deleteTemplate": _delete_template,
    "User.containerRegistryCreds": _registries,
    "Mutation.saveRegistryAuth": _save_registry,
    "Mutation.updateRegistryAuth": _update_registry,
    "Mutation.deleteRegistryAuth": _delete_registry,
    "User.secrets": _secrets,
    "Mutation.secretCreate": _create_secret,
    "Mutation.secretValueUpdate": _update_secret,
    "Mutation.secretDescriptionUpdate": _describe_secret,
    "Mutation.secretDelete": _delete_secret,
}
