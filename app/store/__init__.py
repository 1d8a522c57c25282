"""The only package that talks SQL: tables, the engine with its two dialects, one module a noun.

Every function takes the transaction (`Tx`, to write) or a connection (to read) first. A write that
touches a study or its trials locks the study's row first (`studies.lock`): one lock order, and
sequences without gaps.
"""
