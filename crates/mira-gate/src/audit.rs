//! The record of every connection and request: when, by whom, where to, how much, allowed or refused, by which rule. Never content.
