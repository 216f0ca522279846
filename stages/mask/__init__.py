"""Pairs + pseudo -> masks: a mask for each box that passed the filter."""
