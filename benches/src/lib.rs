//! Benchmarks; see `*.rs` beside `src`.
