"""The simulator's schema is part of Shopify's, and what the product asks is valid on both, for each API version."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_client_schema,
    get_operation_ast,
    parse,
    validate,
    validate_schema,
)

from headgate.apps.stores import admin, documents
from headgate.apps.stores.simulator.admin import MAX_COST
from headgate.apps.stores.simulator.fields import FIELDS
from headgate.apps.stores.simulator.projection import Compiler, NotBulk
from headgate.apps.stores.simulator.schema import FIELD_SCOPES, TYPE_SCOPES, VERSIONS, Cost, schema_for
from tests.shared_data import shared


@cache
def introspected(path: Path) -> tuple[GraphQLSchema, list[dict[str, object]]]:
    given = json.loads(gzip.decompress(path.read_bytes()))
    return build_client_schema(given["data"], assume_valid=True), given["offline_scopes"]["items"]


def real(version: str) -> tuple[GraphQLSchema, list[dict[str, object]]]:
    return introspected(shared(f"stores/schema/admin_{version}.json.gz"))


def asked() -> list[tuple[str, str]]:
    """Every document that the product sends, bulk queries apart."""
    found = []
    for name in ("PAGES", "NODES", "COUNTS", "IDS"):
        found += [(f"{name}.{key}", text) for key, text in getattr(documents, name).items()]
    plain = ("SALES", "REFUNDS", "RUN_BULK", "BULK_NODE", "BULK_LIST", "BULK_CURRENT", "SHOP")
    found += [(name, getattr(documents, name)) for name in plain]
    return found + [
        (f"admin.{k}", v) for k, v in vars(admin).items() if k.isupper() and isinstance(v, str) and "{" in v
    ]


def supported(version: str, name: str) -> bool:
    return not (version < "2026-01" and name == "BULK_LIST")  # the list of operations came with 2026-01


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_is_well_formed_and_every_field_has_a_source(version: str) -> None:
    schema = schema_for(version)
    assert validate_schema(schema) == []
    for name, fields in FIELDS.items():
        type_ = schema.get_type(name)
        assert isinstance(type_, GraphQLObjectType), name
        assert set(type_.fields) <= set(fields), name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_field_argument_and_value_is_shopifys(version: str) -> None:
    theirs, _ = real(version)
    for name, mine in schema_for(version).type_map.items():
        if name.startswith("__") or (version < "2026-01" and name.startswith("BulkOperation")):
            continue
        their = theirs.get_type(name)
        assert their is not None, name
        assert type(mine) is type(their), name
        if isinstance(mine, (GraphQLObjectType, GraphQLInterfaceType)):
            for key, field in mine.fields.items():
                assert key in their.fields, f"{name}.{key}"
                assert str(field.type) == str(their.fields[key].type), f"{name}.{key}"
                for arg, given in field.args.items():
                    real_arg = their.fields[key].args[arg]
                    assert str(given.type) == str(real_arg.type), f"{name}.{key}({arg})"
                    assert given.default_value == real_arg.default_value, f"{name}.{key}({arg})"
                missing = [
                    a for a, g in their.fields[key].args.items() if a not in field.args and g.type == "!"
                ]
                assert not missing
        elif isinstance(mine, GraphQLInputObjectType):
            assert {k: str(v.type) for k, v in mine.fields.items()}.items() <= {
                k: str(v.type) for k, v in their.fields.items()
            }.items(), name
        elif isinstance(mine, GraphQLEnumType):
            assert set(mine.values) <= set(their.values), name
        elif isinstance(mine, GraphQLUnionType):
            assert {t.name for t in mine.types} <= {t.name for t in their.types}, name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_scopes_are_those_of_shopifys_table(version: str) -> None:
    _, items = real(version)
    types = {i["typeName"]: i["offlineScopes"] for i in items if i["type"] == "type"}
    for name, scopes in TYPE_SCOPES.items():
        assert set(scopes) <= set(types[name]), name  # type: ignore[arg-type]
    fields = {
        (i["typeName"], i["fieldName"]): i["offlineScopes"]
        for i in items
        if i["type"] != "type" and "fieldName" in i
    }
    for key, scopes in FIELD_SCOPES.items():
        assert set(scopes) <= set(fields[key]), key  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_product_asks_is_valid_here_and_at_shopify(version: str) -> None:
    schemas = [schema_for(version)]
    if (Path(__file__).resolve().parents[3] / "shared/data/stores/schema").exists():
        schemas.append(real(version)[0])
    for name, text in asked():
        if supported(version, name):
            for schema in schemas:
                assert validate(schema, parse(text)) == [], name
    for name, text in documents.BULK.items():
        for schema in schemas:
            assert validate(schema, parse(text)) == [], name
        Compiler(schema_for(version), text).compile()


#: The page sizes that the product asks for.
SIZES = {"lines": 10, "agreements": 4, "sales": 8, "first": 100}
FIRST = {"PAGES.orders": 8, "PAGES.products": 3}
BATCH = {"NODES.orders": 6, "NODES.products": 2, "NODES.inventory": 10, "NODES.customers": 50}


def test_what_the_product_asks_costs_less_than_a_thousand_points_and_bigger_pages_cost_more() -> None:
    for name, text in asked():
        document = parse(text)
        operation = get_operation_ast(document)
        assert operation is not None
        ids = ["gid://shopify/Order/1"] * BATCH.get(name, 1)
        sizes = {**SIZES, "first": FIRST.get(name, 100), "ids": ids, "id": ids[0]}
        assert 0 < Cost(schema_for("2026-07"), document, sizes).of(operation) <= MAX_COST, name
    document = parse(documents.PAGES["orders"])
    operation = get_operation_ast(document)
    assert operation is not None
    assert Cost(schema_for("2026-07"), document, {**SIZES, "first": 200}).of(operation) > MAX_COST


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "{ orders { edges { node { id refunds { id refundLineItems { edges { node { id } } } } } } } }",
            "within a list",
        ),
        ("{ orders { edges { node { name lineItems { edges { node { id } } } } } } }", "must select the id"),
        ("{ orders { edges { node { id } } } customers { edges { node { id } } } }", "exactly one"),
        ("{ shop { id } }", "connection field as the top-level"),
        ("{ orders { edges { node { nonsense } } } }", "Cannot query field"),
        ("mutation { bulkOperationCancel(id: 1) { userErrors { message } } }", "one query operation"),
        (
            "{ orders { edges { node { id a: lineItems { edges { node { id } } } b: lineItems { edges { node { id } } }"
            " shippingLines { edges { node { id } } } discountApplications { edges { node { index } } }"
            " agreements { edges { node { id } } } } } } }",
            "more than 5 connections",
        ),
        (
            "{ locations { edges { node { id inventoryLevels { edges { node { id item { id } location { id"
            " inventoryLevels { edges { node { id location { inventoryLevels { edges { node { id } } } } "
            " } } } } } } } } } } }",
            "nesting depth",
        ),
    ],
)  # fmt: skip
def test_bulk_queries_keep_shopifys_rules(query: str, message: str) -> None:
    with pytest.raises(NotBulk, match=message):
        Compiler(schema_for("2026-07"), query).compile()
