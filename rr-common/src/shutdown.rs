//! Begin, force, done: how everything that runs learns of a stop, and how the stop learns that it is complete.
