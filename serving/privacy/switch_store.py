"""The kill switches in the database of the opt-outs. A change counts as a change of the exclusions there: every process
reads it with the next request, and a store that lost it is refused as older than its marker."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, insert, inspect, select

from contracts.switches import Switches, SwitchName, checked_name, checked_switch
from serving.privacy.audit_rows import AuditRow, add_entry
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.opt_out_tables import AUDIT, SWITCHES
from serving.privacy.store_identity import add_changes

SET, CLEAR = "switch.set", "switch.clear"
Period = tuple[datetime, datetime | None]
"""When a switch was set and cleared; `None` while it is set."""


@dataclass(frozen=True)
class SwitchState:
    """One switch. `value` is `off`, the pinned version, or `null` where the switch is not set."""

    name: SwitchName
    value: str | None
    set_at: datetime | None = None
    set_by: str | None = None


class SwitchStore:
    """Sets, clears and reads switches. Raises `OptOutStoreUnavailable`, `UnknownSwitch` and `BadSwitch`."""

    def __init__(self, opt_outs: OptOutStore) -> None:
        """The store that holds the opt-outs holds the switches too."""
        self._opt_outs = opt_outs

    def show(self) -> list[SwitchState]:
        """Every switch, set or not."""
        with self._opt_outs.checked_transaction() as (connection, _):
            rows = connection.execute(select(SWITCHES)).all() if inspect(connection).has_table(SWITCHES.name) else []
        found = {row.name: row for row in rows}
        return [
            SwitchState(name, found[name].value, found[name].set_at, found[name].set_by)
            if name in found
            else SwitchState(name, None)
            for name in SwitchName
        ]

    def get(self, name: str) -> SwitchState:
        """One switch."""
        switch = checked_name(name)
        return next(state for state in self.show() if state.name is switch)

    def set(self, name: str, value: str | None, *, by: str) -> SwitchState:
        """Set a switch, for every request from now on. Durable on return."""
        switch, checked = checked_switch(name, value)
        return self._replace(switch, checked, by)

    def clear(self, name: str, *, by: str) -> SwitchState:
        """Clear a switch, for every request from now on. Durable on return."""
        return self._replace(checked_name(name), None, by)

    def periods(self, name: SwitchName) -> list[Period]:
        """When a switch was set, from the audit."""
        entries = select(AUDIT.c.at, AUDIT.c.action).where(AUDIT.c.subject == name).order_by(AUDIT.c.number)
        with self._opt_outs.checked_transaction() as (connection, _):
            rows = connection.execute(entries).all() if inspect(connection).has_table(AUDIT.name) else []
        periods: list[Period] = []
        for at, action in rows:
            is_set = bool(periods) and periods[-1][1] is None
            if action == SET and not is_set:
                periods.append((at, None))
            elif action == CLEAR and is_set:
                periods[-1] = periods[-1][0], at
        return periods

    def follow(self, original: str, revision: str) -> None:
        """Pin the revision that an erasure made of a release, if the original is pinned."""
        if self._opt_outs.switches().pinned_release == original:
            self.set(SwitchName.PINNED_RELEASE, revision, by="erasure")

    def set_again(self, switches: Switches, *, by: str) -> None:
        """Set the switches that were last read from a store that another one replaced."""
        for name, value in switches.values.items():
            self.set(name, value, by=by)

    def _replace(self, name: SwitchName, value: str | None, by: str) -> SwitchState:
        state = SwitchState(name, value, datetime.now(UTC), by) if value else SwitchState(name, None)
        self._opt_outs.add_missing_tables()
        with self._opt_outs.checked_transaction(writes=True) as (connection, store):
            if store:
                add_changes(connection, 1, exclusions=1)
            connection.execute(delete(SWITCHES).where(SWITCHES.c.name == name))
            if value:
                row = {"name": name.value, "value": value, "set_at": state.set_at, "set_by": by}
                connection.execute(insert(SWITCHES).values(row))
            add_entry(connection, AuditRow(by, SET if value else CLEAR, name, value or ""))
        self._opt_outs.record_outside()
        return state
