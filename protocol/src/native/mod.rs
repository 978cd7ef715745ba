//! The native JSON dialect, v1.
