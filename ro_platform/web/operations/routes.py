"""The routes below ``/operations``. The face has authenticated the visitor and checked the form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ro_platform.config.settings import Settings
from ro_platform.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RunOperateError,
)
from ro_platform.plane import Plane
from ro_platform.web.messages import own_page
from ro_platform.web.operations.acts import act_named, act_page, perform
from ro_platform.web.operations.attempts import attempts_page
from ro_platform.web.operations.desk import Desk, Visit
from ro_platform.web.operations.directive_list import address_of, directives_page
from ro_platform.web.operations.directives import decide, directive_page
from ro_platform.web.operations.events import events_page
from ro_platform.web.operations.html import el
from ro_platform.web.operations.layout import HOME, Frame, Page, framed
from ro_platform.web.operations.overview import overview_page, pauses_page
from ro_platform.web.operations.parts import refusal
from ro_platform.web.operations.runs import dossier_download, run_page
from ro_platform.web.signin import form_of

MOVES = ("approve", "reject", "execute")
_STATUSES: tuple[tuple[type[RunOperateError], int], ...] = (
    (AccessDeniedError, 403),
    (NotFoundError, 404),
    (InvalidInputError, 400),
    (ConflictError, 409),
    (BackendUnavailableError, 503),
)

Show = Callable[[Visit, Request], Page]
Do = Callable[[Visit, Request, dict[str, str]], Response | Page]


def operations(plane: Plane, settings: Settings) -> Sequence[BaseRoute]:
    """The pages of a deployment."""
    return routes_of(Desk(plane, settings))


def routes_of(desk: Desk) -> Sequence[BaseRoute]:
    """The pages over a desk."""
    pages = Pages(desk)
    return [
        *(
            pages.showing(path, partial(show, desk))
            for path, show in (
                ("/", _overview),
                ("/attempts", _attempts),
                ("/events", _events),
                ("/pauses", _pauses),
                ("/directives", _directives),
                ("/runs/{run}", _run),
                ("/directives/{name}", _directive),
                ("/act/{act}", _act),
            )
        ),
        *(
            pages.doing(path, partial(do, desk))
            for path, do in (
                ("/act/{act}", _performed),
                ("/directives/{name}/{move}", _decided),
                ("/runs/{run}/dossier", _dossier),
            )
        ),
    ]


class Pages:
    """Makes routes of what shows and of what does: in the frame, with every error as a page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def showing(self, path: str, show: Show) -> Route:
        """A page."""

        def answer(request: Request) -> Response:
            visit = visit_of(request)
            try:
                return self._framed(visit, show(visit, request))
            except RunOperateError as error:
                return self._framed(visit, error_page(error))

        return Route(path, answer, methods=["GET"])

    def doing(self, path: str, do: Do) -> Route:
        """What a form asks for: it leads on to another page, or shows why not."""

        async def answer(request: Request) -> Response:
            form = await form_of(request)
            return await run_in_threadpool(done, visit_of(request), request, form)

        def done(visit: Visit, request: Request, form: dict[str, str]) -> Response:
            try:
                answered = do(visit, request, form)
            except RunOperateError as error:
                answered = error_page(error)
            return self._framed(visit, answered) if isinstance(answered, Page) else answered

        return Route(path, answer, methods=["POST"])

    def _framed(self, visit: Visit, page: Page) -> Response:
        desk = self._desk
        frame = Frame(visit.actor, desk.plane.access.environment, desk.single_user, visit.path)
        return own_page(framed(page, frame), page.status)


def visit_of(request: Request) -> Visit:
    """Who asks, as the face found out."""
    return Visit(
        visitor=request.state.visitor,
        form_token=request.state.form_token,
        path=request.url.path.rstrip("/") or "/",
        query=request.query_params,
        refused=request.state.refused,
    )


def error_page(error: RunOperateError) -> Page:
    """The page of something that cannot be shown or done."""
    back = el("p", el("a", "Back to the overview", href=HOME))
    return Page(
        "Refused" if status_of(error) == 403 else "Not possible",
        [refusal(error), back],
        status_of(error),
    )


def status_of(error: RunOperateError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _overview(desk: Desk, visit: Visit, _request: Request) -> Page:
    return overview_page(desk, visit)


def _attempts(desk: Desk, visit: Visit, _request: Request) -> Page:
    return attempts_page(desk, visit)


def _events(desk: Desk, visit: Visit, _request: Request) -> Page:
    return events_page(desk, visit)


def _pauses(desk: Desk, visit: Visit, _request: Request) -> Page:
    return pauses_page(desk, visit)


def _directives(desk: Desk, visit: Visit, _request: Request) -> Page:
    return directives_page(desk, visit)


def _run(desk: Desk, visit: Visit, request: Request) -> Page:
    return run_page(desk, visit, request.path_params["run"])


def _directive(desk: Desk, visit: Visit, request: Request) -> Page:
    return directive_page(desk, visit, request.path_params["name"])


def _act(desk: Desk, visit: Visit, request: Request) -> Page:
    act = act_named(request.path_params["act"])
    return act_page(desk, visit, act, visit.query)


def _performed(desk: Desk, visit: Visit, request: Request, form: dict[str, str]) -> Response | Page:
    act = act_named(request.path_params["act"])
    try:
        return RedirectResponse(perform(desk, visit, act, form), 303)
    except RunOperateError as error:
        page = act_page(desk, visit, act, form, above=refusal(error))
        return Page(page.title, page.body, status_of(error))


def _decided(desk: Desk, visit: Visit, request: Request, form: dict[str, str]) -> Response | Page:
    name, move = request.path_params["name"], request.path_params["move"]
    if move not in MOVES:
        raise NotFoundError(f"a directive has no {move[:40]!r}.", next_step="Go back.")
    try:
        decide(desk, visit, name, move, form)
        return RedirectResponse(address_of(name), 303)
    except NotFoundError:
        raise
    except RunOperateError as error:
        page = directive_page(desk, visit, name, above=refusal(error))
        return Page(page.title, page.body, status_of(error))


def _dossier(desk: Desk, visit: Visit, request: Request, _form: dict[str, str]) -> Response | Page:
    return dossier_download(desk, visit, request.path_params["run"])
