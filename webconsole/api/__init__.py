"""Answers for programs: small JSON documents that the live parts of the pages poll."""
