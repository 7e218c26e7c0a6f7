"""Routes of what the lake holds, for people who write SQL: tables, columns, sample rows, functions."""

from __future__ import annotations

from fastapi import Response

from imdb_lakehouse.bridge.api import schema
from imdb_lakehouse.bridge.api.dependencies import FOUND, OWN, Context, CurrentVisitor, TableName, create_router
from imdb_lakehouse.bridge.views import Json

_CATALOG_SECONDS = 60
"""How long a browser may keep what the lake holds; a load publishes seldom."""

ROUTES = create_router()


@ROUTES.get("/tables", responses=OWN)
async def tables(context: Context, visitor: CurrentVisitor, response: Response) -> schema.LakeTables:
    """The tables and views of the lake. A browser may keep the answer for a minute."""
    return schema.LakeTables(**_keep_briefly(await context.catalog.list_tables(visitor), response))


@ROUTES.get("/tables/{name:path}", responses=FOUND)
async def table(context: Context, visitor: CurrentVisitor, name: TableName, response: Response) -> schema.LakeColumns:
    """The columns of a table or view. A browser may keep the answer for a minute."""
    return schema.LakeColumns(**_keep_briefly(await context.catalog.describe_table(visitor, name), response))


@ROUTES.get("/samples/{name:path}", responses=FOUND)
async def sample(context: Context, visitor: CurrentVisitor, name: TableName, response: Response) -> schema.TableView:
    """A few rows of a table or view, read by a statement. A browser may keep the answer for a minute."""
    return schema.TableView(**_keep_briefly(await context.catalog.read_sample(visitor, name), response))


@ROUTES.get("/functions", responses=OWN)
async def functions(context: Context, _visitor: CurrentVisitor, response: Response) -> schema.LakeFunctions:
    """The functions that a statement may call. A browser may keep the answer for a minute."""
    return schema.LakeFunctions(functions=_keep_briefly(await context.catalog.list_functions(), response))


def _keep_briefly(found: Json, response: Response) -> Json:
    """Let the visitor's browser keep an answer, which is nobody else's."""
    response.headers["Cache-Control"] = f"private, max-age={_CATALOG_SECONDS}"
    response.headers["Vary"] = "Authorization"
    return found
