"""Pairs + phrases -> labels: a teacher grounds the phrases."""
