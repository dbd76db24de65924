"""The operator that checks all sources of an account."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_stitch.common.deadline import parse_templated_duration
from airflow_provider_stitch.common.operator import run
from airflow_provider_stitch.operators._setup import StitchSetupOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stitch.connect.objects import Source
    from airflow_provider_stitch.replication.rules.account_report import SourceState

# The lists of an account with 1,000 sources and 12,000 streams have 130 pages, which take about 50 minutes to
# read.
DEFAULT_TIMEOUT = timedelta(hours=3)

FAIL_ON = ("extraction", "load")


class StitchCheckAccountOperator(StitchSetupOperator):
    """Check the last extraction and the loads of every source in an account, and fail if there are problems.

    The task reads the complete lists of extractions and loads once. The task uses only part of the account's
    30 requests in 10 minutes, because tasks that wait for jobs share this limit. The task takes a few seconds
    for an account with up to 2,000 streams, and about 50 minutes for an account with 1,000 sources and 12,000
    streams. The log contains an estimate of the remaining time.

    The XCom is a dict: `client_id`, `checked_at`, `problem_sources` (names of the sources with a problem in
    `fail_on`) and `sources`. `sources` contains one dict for each source, with the keys `source_id`,
    `source_name`, `display_name`, `paused_by` (`"user"`, `"stitch"` or None), `last_extraction`
    (`"succeeded"`, `"failed"`, `"terminated"`, or None if the source had no extraction in 60 days),
    `last_extraction_at`, `extraction_error`, `job_name`, `last_load_at`, `hours_since_last_load`,
    `streams_in_error` (`{stream_name: message of the destination}`), `problems` and `url`. If there are
    problems, the task writes the XCom before it fails. Times are ISO 8601 in UTC, by Stitch's clock.
    `streams_in_error` does not include streams that are no longer selected.

    :param fail_on: a list of the problems for which the task fails, without a retry: `"extraction"` (the last
        extraction failed or was terminated), `"load"` (a stream cannot be loaded), `"stale"` (the last load
        of the source is older than `max_age`). If the list is empty, the task only reports problems. If
        `fail_on` is a template, the rendered value must not be empty. (templated)
    :param max_age: maximum age of a source's last load, in seconds or as a timedelta. The last load of a
        source can be old because the source has had no new rows. (templated)
    :param sources: the sources to check, by id, `name` or display name. Pass a list, or a string that
        contains a JSON list or comma-separated names. The task fails if a source is unknown or deleted. If
        None, the task checks all sources that are not deleted. (templated)
    :param ignore_paused: do not check sources that a user has paused.
    :param soft_fail: skip the task instead of failing it.
    :param timeout: maximum time to read the lists, in seconds or as a timedelta.
    :param stitch_conn_id: id of the Airflow connection. (templated)
    """

    template_fields: Sequence[str] = ("fail_on", "max_age", "sources", "stitch_conn_id")
    ui_color = "#f3ecd9"

    def __init__(
        self,
        *,
        fail_on: Sequence[str] | str = FAIL_ON,
        max_age: float | timedelta | str | None = None,
        sources: Sequence[int | str] | str | None = None,
        ignore_paused: bool = False,
        soft_fail: bool = False,
        timeout: float | timedelta | None = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        from airflow_provider_stitch.replication.rules.arguments import is_template

        super().__init__(timeout=timeout, **kwargs)
        self.fail_on: Any = fail_on
        self.max_age: Any = parse_templated_duration(max_age, "max_age")
        self.sources: Any = sources
        self.ignore_paused = ignore_paused
        self.soft_fail = soft_fail
        if not any(is_template(each) for each in (fail_on, max_age, sources)):
            self._parse_arguments()

    def _parse_arguments(self) -> None:
        """Validate the arguments after their templates are rendered.

        :raises ValueError: if an argument is invalid.
        """
        from airflow_provider_stitch.common.deadline import parse_duration
        from airflow_provider_stitch.replication.rules.arguments import (
            ACCOUNT_PROBLEMS,
            none_if_blank,
            parse_choice,
            parse_names,
        )

        names = parse_names(self.fail_on, "fail_on")
        if names is None:
            raise ValueError(
                f"fail_on has no value ({self.fail_on!r}), so no problem would fail the task. Use a list of: "
                f"{', '.join(ACCOUNT_PROBLEMS)}. To report problems without failing, set fail_on=[]."
            )
        self.fail_on = [parse_choice(each, "fail_on", ACCOUNT_PROBLEMS) for each in names]
        self.max_age = parse_duration(none_if_blank(self.max_age), "max_age")
        self.sources = parse_names(self.sources, "sources")
        if self.sources == ():
            raise ValueError("sources is empty, so there is nothing to check. Use None to check all sources.")
        if "stale" in self.fail_on and self.max_age is None:
            raise ValueError(
                'fail_on="stale" needs max_age, the number of seconds after which a load is old.'
            )

    def set_up(self, context: Context) -> dict[str, Any]:
        """Read the state of the account and write it to XCom. Fail or skip the task if there are problems."""
        from airflow.providers.common.compat.sdk import AirflowSkipException

        from airflow_provider_stitch.connect.errors import AccountHasProblems, InvalidArgument
        from airflow_provider_stitch.replication.rules.account_report import problem_message

        try:
            self._parse_arguments()
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        states = run(self._read())
        failing = [state for state in states if set(state.problems) & set(self.fail_on)]
        result = self._result(states, failing)
        if not failing:
            self.log.info("Checked %d sources of Stitch account %s", len(states), result["client_id"])
            return result
        self.push_result(context, result)
        message = problem_message(result["client_id"], failing, len(states))
        if self.soft_fail:
            raise AirflowSkipException(f"Skipped because soft_fail is set: {message}")
        raise AccountHasProblems(message)

    async def _read(self) -> list[SourceState]:
        from airflow_provider_stitch.replication.account_check import AccountCheck

        session = self.session(self._deadline.at, self._deadline.time_limit)
        sources = await session.list_sources()
        check = AccountCheck(session, sources, log_info=self.log.info, log_warning=self.log.warning)
        wanted = self._wanted(sources)
        states = await check.run(max_age=self.max_age)
        return [state for state in states if state.source_id in wanted]

    def _wanted(self, sources: Sequence[Source]) -> set[int]:
        """Return the ids of the sources to check.

        :raises UnknownSource: if a source in `sources` does not exist.
        :raises DeletedSource: if a source in `sources` has been deleted.
        """
        from airflow_provider_stitch.connect.references import find_source
        from airflow_provider_stitch.replication.rules.preconditions import raise_if_deleted

        if self.sources is None:
            chosen = list(sources)
        else:
            chosen = [find_source(sources, each) for each in self.sources]
            raise_if_deleted(chosen)
        return {each.id for each in chosen if not (self.ignore_paused and each.paused_at is not None)}

    def _result(self, states: Sequence[SourceState], failing: Sequence[SourceState]) -> dict[str, Any]:
        from airflow_provider_stitch.connect.objects import format_time
        from airflow_provider_stitch.hooks.stitch import source_url

        client = self.hook.client
        client_id = client.known_client_id
        checked_at = client.stitch_time
        return {
            "client_id": client_id,
            "checked_at": None if checked_at is None else format_time(checked_at),
            "problem_sources": [state.source_name for state in failing],
            "sources": [
                {**state.to_dict(), "url": source_url(client_id or 0, state.source_id)} for state in states
            ],
        }
