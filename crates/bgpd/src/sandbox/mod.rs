//! What the process can still do once it runs: the files it may touch, and the system calls it may make.
//!
//! Two fences, each of them the kernel's. [`files`] is Landlock: it stands before there is a second thread, so that every
//! thread has it. [`calls`] is seccomp: it stands when the sockets are open and before a peer's first octet is read, on
//! all threads. Neither can be taken away again by the process itself. What a kernel does not have is said in the log,
//! and the daemon runs without it: routes matter more than the second fence behind the privileges that are gone already.
//!
//! Who the process is and which capabilities it keeps is `privileges`' matter. `docs/security.md` has the reasons.

pub mod calls;
pub mod files;

/// What a fence has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It stands.
    Closed,
    /// The kernel knows only part of what was asked.
    Partial,
    /// It does not stand; why.
    Open(String),
}
