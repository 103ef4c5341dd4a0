"""What each endpoint does. Reads never write; both writes go through ``transitions``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from .. import transitions
from ..models import Goal, StateChange, TrackedTask, Worker
from ..result import missing_states
from ..states import EXPIRED
from ..transitions import Answer
from ..vendors import task_database
from . import filters, serializers
from .bodies import RetryBody, RevokeBody
from .endpoint import Endpoint
from .etags import conditional, weak_etag
from .exceptions import Conflict
from .pagination import AttemptPagination, HistoryPagination
from .permissions import MayRetry, MayRevoke, MayView

#: Rows of history that ``?expand=history`` adds at most; ``history/`` has them all.
EXPANDED_ROWS = 100


class TaskViewSet(RetrieveModelMixin, ListModelMixin, Endpoint[TrackedTask]):
    """Tasks: see ``permissions`` for who sees which, and what of them."""

    lookup_value_converter = "uuid"
    queries = {
        "list": filters.TaskQuery,
        "retrieve": filters.DetailQuery,
        "history": filters.PageQuery,
        "status": filters.StatusQuery,
    }

    def query_class(self) -> type[filters.Query]:
        if self.action == "list" and self.access.sees_all:
            return filters.StaffTaskQuery
        return super().query_class()

    def get_serializer_class(self) -> type[Any]:
        access = self.access
        if self.action == "list":
            staff, owner = serializers.StaffTaskRowSerializer, serializers.TaskRowSerializer
            return staff if access.sees_all else owner
        if self.action != "retrieve":
            return serializers.StatusSerializer
        if access.sees_payload:
            return serializers.PayloadTaskSerializer
        return serializers.StaffTaskSerializer if access.sees_all else serializers.TaskSerializer

    def get_queryset(self) -> QuerySet[TrackedTask]:
        tasks = self.access.visible(TrackedTask.objects.all())
        shown = tasks.select_related("worker", "progress")
        return shown.defer(*self.get_serializer_class().deferred, *serializers.UNSHOWN_RELATED)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response = super().retrieve(request, *args, **kwargs)
        if self.query.validated_data.get("expand") == "history":
            response.data["history"] = self._latest_changes(self.kwargs["pk"])
        return response

    @action(detail=True, pagination_class=HistoryPagination)
    def history(self, request: Request, pk: UUID) -> Response:
        """Every change of the task's state, oldest first."""
        return self.page_of(self._changes(self.get_object().pk), self._change_serializer())

    def _latest_changes(self, task_id: UUID) -> Any:
        serializer = self._change_serializer()
        latest = self._changes(task_id).order_by("-seq").defer(*serializer.deferred)
        return serializer(reversed(latest[:EXPANDED_ROWS]), many=True).data

    def _changes(self, task_id: UUID) -> QuerySet[StateChange]:
        return StateChange.objects.filter(task_id=task_id).select_related("worker")

    def _change_serializer(self) -> type[serializers.ChangeSerializer]:
        access = self.access
        if access.sees_payload:
            return serializers.PayloadChangeSerializer
        return (
            serializers.StaffChangeSerializer if access.sees_all else serializers.ChangeSerializer
        )

    @action(detail=False)
    def status(self, request: Request) -> HttpResponse:
        """Small rows of up to a hundred tasks, in the order asked for, for one poll of many bars."""
        asked = list(dict.fromkeys(self.query.validated_data["id__in"]))
        tasks = self.filter_queryset(self.get_queryset())
        found = {UUID(row["id"]): row for row in self.get_serializer(tasks, many=True).data}
        # A task of somebody else's is told of in the words for one that is not there.
        absent = missing_states(asked) if len(found) < len(asked) else {}
        rows = [
            found.get(task_id) or _absent_row(task_id, absent[str(task_id)]) for task_id in asked
        ]
        return conditional(request, Response({"results": rows}), weak_etag(rows))

    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated, MayRevoke])
    def revoke(self, request: Request, pk: UUID) -> Response:
        """Stop the task. Owners may do so too, but not have its process killed."""
        task = self.get_object()
        body = self.body(RevokeBody)
        if body.signal_to_send and not self.access.may_terminate:
            self.permission_denied(request, "You may not terminate this task.")
        answer = self._answer(
            transitions.revoke(
                [task.pk],
                signal=body.signal_to_send,
                actor=self._actor(),
                reason=body.validated_data["reason"],
            ),
            task,
        )
        after = self._after(task.pk)
        return self._accepted(after, answer, {"terminates": answer is Answer.TERMINATING})

    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated, MayRetry])
    def retry(self, request: Request, pk: UUID) -> Response:
        """Put a failed or revoked task back into its queue, with a fresh count of attempts."""
        task = self.get_object()
        reason = self.body(RetryBody).validated_data["reason"]
        answers = transitions.rerun([task.pk], actor=self._actor(), reason=reason)
        return self._accepted(self._after(task.pk), self._answer(answers, task), {})

    def _actor(self) -> str:
        return f"user:{self.request.user.get_username()}"[:255]

    def _answer(self, answers: dict[UUID, Answer], task: TrackedTask) -> Answer:
        """What was done.

        Raises:
            Http404: the task has been purged meanwhile.
            Conflict: its state does not allow it.
        """
        answer = answers[task.pk]
        if answer is Answer.UNKNOWN:
            raise Http404
        if answer is Answer.REFUSED:
            state = self._after(task.pk).state
            raise Conflict(f"A task in state {state} cannot be {_PARTICIPLES[self.action]}.")
        return answer

    def _after(self, task_id: UUID) -> TrackedTask:
        """The task as the write left it, read where it was written."""
        tasks = TrackedTask.objects.using(task_database()).select_related("worker")
        return tasks.only("state", "worker__can_terminate").get(pk=task_id)

    def _accepted(self, task: TrackedTask, answer: Answer, more: dict[str, Any]) -> Response:
        told = {"id": str(task.pk), "answer": answer.value, "state": task.state, **more}
        return Response(told, status=status.HTTP_202_ACCEPTED)


_PARTICIPLES = {"revoke": "revoked", "retry": "run again"}


def _absent_row(task_id: UUID, state: str) -> dict[str, Any]:
    # Nothing more will come of a purged task; one that is unknown may be committed yet.
    finished = state == EXPIRED
    return {
        "id": str(task_id),
        "state": state,
        "label": "",
        "progress": None,
        "finished": finished,
    }


class GoalViewSet(RetrieveModelMixin, ListModelMixin, Endpoint[Goal]):
    """Goals and the tasks that served them, for staff who may view goals."""

    permission_classes = [IsAuthenticated, IsAdminUser, MayView]
    lookup_value_converter = "int"
    queries = {"list": filters.GoalQuery, "attempts": filters.PageQuery}

    def get_serializer_class(self) -> type[serializers.GoalSerializer]:
        whole = self.action == "retrieve" and self.access.sees_payload
        return serializers.PayloadGoalSerializer if whole else serializers.GoalSerializer

    def get_queryset(self) -> QuerySet[Goal]:
        return Goal.objects.defer(*self.get_serializer_class().deferred)

    @action(detail=True, pagination_class=AttemptPagination)
    def attempts(self, request: Request, pk: int) -> Response:
        """The tasks that served the goal, in order, those that have been purged included."""
        goal = self.get_object()
        return self.page_of(goal.attempt_set.all(), serializers.GoalAttemptSerializer)


class WorkerViewSet(RetrieveModelMixin, ListModelMixin, Endpoint[Worker]):
    """Workers, for staff who may view them."""

    permission_classes = [IsAuthenticated, IsAdminUser, MayView]
    lookup_value_converter = "int"
    queries = {"list": filters.PageQuery}

    def get_serializer_class(self) -> type[serializers.WorkerRowSerializer]:
        whole = self.action == "retrieve"
        return serializers.WorkerSerializer if whole else serializers.WorkerRowSerializer

    def get_queryset(self) -> QuerySet[Worker]:
        return Worker.objects.defer(*self.get_serializer_class().deferred)
