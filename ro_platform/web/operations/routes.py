"""The routes below ``/operations``. The gateway has authenticated the visitor and checked the
form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.plane import Plane
from ro_platform.web.messages import own_page
from ro_platform.web.operations import parts
from ro_platform.web.operations.acts import act_named, act_page, perform
from ro_platform.web.operations.attempts import attempts_page
from ro_platform.web.operations.context import PageContext, PageServices
from ro_platform.web.operations.directive_list import address_of, directives_page
from ro_platform.web.operations.directives import decide, directive_page
from ro_platform.web.operations.events import events_page
from ro_platform.web.operations.html import el
from ro_platform.web.operations.layout import HOME, Frame, Page, framed
from ro_platform.web.operations.overview import overview_page, pauses_page
from ro_platform.web.operations.runs import dossier_download, run_page
from ro_platform.web.signin import form_of

MOVES = ("approve", "reject", "execute")
_STATUSES: tuple[tuple[type[errors.RunOperateError], int], ...] = (
    (errors.AccessDeniedError, 403),
    (errors.NotFoundError, 404),
    (errors.InvalidInputError, 400),
    (errors.ConflictError, 409),
    (errors.BackendUnavailableError, 503),
)

Show = Callable[[PageContext, Request], Page]
Do = Callable[[PageContext, Request, dict[str, str]], Response | Page]


def operations(plane: Plane, settings: Settings) -> Sequence[BaseRoute]:
    """The pages of a deployment."""
    return routes_of(PageServices(plane, settings))


def routes_of(services: PageServices) -> Sequence[BaseRoute]:
    """The pages of one deployment."""
    pages = Pages(services)
    return [
        *(
            pages.showing(path, partial(show, services))
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
            pages.doing(path, partial(do, services))
            for path, do in (
                ("/act/{act}", _performed),
                ("/directives/{name}/{move}", _decided),
                ("/runs/{run}/dossier", _dossier),
            )
        ),
    ]


class Pages:
    """Makes routes of what shows and of what does: in the frame, with every error as a page."""

    def __init__(self, services: PageServices) -> None:
        self._services = services

    def showing(self, path: str, show: Show) -> Route:
        """A page."""

        def answer(request: Request) -> Response:
            context = visit_of(request)
            try:
                return self._framed(context, show(context, request))
            except errors.RunOperateError as error:
                return self._framed(context, error_page(error))

        return Route(path, answer, methods=["GET"])

    def doing(self, path: str, do: Do) -> Route:
        """What a form asks for: it leads on to another page, or shows why not."""

        async def answer(request: Request) -> Response:
            form = await form_of(request)
            return await run_in_threadpool(done, visit_of(request), request, form)

        def done(context: PageContext, request: Request, form: dict[str, str]) -> Response:
            try:
                answered = do(context, request, form)
            except errors.RunOperateError as error:
                answered = error_page(error)
            return self._framed(context, answered) if isinstance(answered, Page) else answered

        return Route(path, answer, methods=["POST"])

    def _framed(self, context: PageContext, page: Page) -> Response:
        services = self._services
        frame = Frame(
            context.actor, services.plane.access.environment, services.single_user, context.path
        )
        return own_page(framed(page, frame), page.status)


def visit_of(request: Request) -> PageContext:
    """Who asks, as the gateway found out."""
    return PageContext(
        principal=request.state.principal,
        form_token=request.state.form_token,
        path=request.url.path.rstrip("/") or "/",
        query=request.query_params,
        refused=request.state.refused,
    )


def error_page(error: errors.RunOperateError) -> Page:
    """The page of something that cannot be shown or done."""
    back = el("p", el("a", "Back to the overview", href=HOME))
    return Page(
        "Refused" if status_of(error) == 403 else "Not possible",
        [parts.refusal(error), back],
        status_of(error),
    )


def status_of(error: errors.RunOperateError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _overview(services: PageServices, context: PageContext, _request: Request) -> Page:
    return overview_page(services, context)


def _attempts(services: PageServices, context: PageContext, _request: Request) -> Page:
    return attempts_page(services, context)


def _events(services: PageServices, context: PageContext, _request: Request) -> Page:
    return events_page(services, context)


def _pauses(services: PageServices, context: PageContext, _request: Request) -> Page:
    return pauses_page(services, context)


def _directives(services: PageServices, context: PageContext, _request: Request) -> Page:
    return directives_page(services, context)


def _run(services: PageServices, context: PageContext, request: Request) -> Page:
    return run_page(services, context, request.path_params["run"])


def _directive(services: PageServices, context: PageContext, request: Request) -> Page:
    return directive_page(services, context, request.path_params["name"])


def _act(services: PageServices, context: PageContext, request: Request) -> Page:
    act = act_named(request.path_params["act"])
    return act_page(services, context, act, context.query)


def _performed(
    services: PageServices, context: PageContext, request: Request, form: dict[str, str]
) -> Response | Page:
    act = act_named(request.path_params["act"])
    try:
        return RedirectResponse(perform(services, context, act, form), 303)
    except errors.RunOperateError as error:
        page = act_page(services, context, act, form, above=parts.refusal(error))
        return Page(page.title, page.body, status_of(error))


def _decided(
    services: PageServices, context: PageContext, request: Request, form: dict[str, str]
) -> Response | Page:
    name, move = request.path_params["name"], request.path_params["move"]
    if move not in MOVES:
        raise errors.NotFoundError(f"a directive has no {move[:40]!r}.", next_step="Go back.")
    try:
        decide(services, context, name, move, form)
        return RedirectResponse(address_of(name), 303)
    except errors.NotFoundError:
        raise
    except errors.RunOperateError as error:
        page = directive_page(services, context, name, above=parts.refusal(error))
        return Page(page.title, page.body, status_of(error))


def _dossier(
    services: PageServices, context: PageContext, request: Request, _form: dict[str, str]
) -> Response | Page:
    return dossier_download(services, context, request.path_params["run"])
