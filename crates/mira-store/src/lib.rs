//! What Mira knows about instances, in `mira.db`.
