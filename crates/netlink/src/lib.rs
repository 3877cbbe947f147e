//! Says fib's operations to the kernel, reports what the kernel says.
