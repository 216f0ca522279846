"""Pairs + pseudo -> masks: SAM cuts out what each box shows."""
