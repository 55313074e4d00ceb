"""Which entry writes which table: the list that live work and the replay of the log share."""

from __future__ import annotations

from casework.cases.case import CaseFile, apply_case
from casework.equipment.asset import RecorderAsset
from casework.equipment.claim import DockClaim, apply_claim
from casework.equipment.docked import DockedSession, apply_session
from casework.equipment.event import RecorderEvent
from casework.equipment.issue import apply_issue
from casework.equipment.recorder import apply_recorder
from casework.evidence.exhibit import CaseLink, Exhibit, apply_link
from casework.evidence.quarantine import (
    QuarantineDecision,
    QuarantinedSession,
    apply_quarantine,
    apply_quarantined,
)
from casework.evidence.recording import Recording, apply_ingest
from casework.evidence.viewing import ViewedRecording, Viewing, apply_view
from casework.keeping import projection as retention_projection
from casework.package.disclosure import DisclosedRecording, Disclosure, apply_export
from casework.people.actor import ActorName, apply_account
from casework.people.officer import Officer, apply_officer
from casework.people.unit import Unit, apply_unit
from vault.log.outbox import Projections


def register(projections: Projections, zone: str) -> None:
    """Register casework's projections and tables; `zone` is the station's, whose time recorders keep."""
    projections.on("unit", apply_unit)
    projections.on("officer", apply_officer(zone))
    projections.on("recorder", apply_recorder)
    projections.on("issue", apply_issue)
    projections.on("session", apply_session)
    projections.on("session", apply_quarantined)
    projections.on("quarantine", apply_quarantine)
    projections.on("claim", apply_claim)
    projections.on("account", apply_account)
    projections.on("ingest", apply_ingest(zone))
    projections.on("case", apply_case)
    projections.on("link", apply_link)
    projections.on("view", apply_view)
    projections.on("export", apply_export)
    projections.owns(Unit, Officer, RecorderAsset, ActorName, Recording, CaseFile)
    projections.owns(CaseLink, Exhibit, Viewing, ViewedRecording, Disclosure, DisclosedRecording)
    projections.owns(RecorderEvent, DockedSession, DockClaim)
    projections.owns(QuarantinedSession, QuarantineDecision)
    retention_projection.register(projections)
