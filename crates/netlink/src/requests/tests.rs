//! What the real kernel says to requests that a correct encoder never sends. Needs root, for a namespace of its own.

use bgp_fib::{Op, OpId};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::uapi::family;

/// Runs `test` on a thread in a fresh network namespace.
fn in_namespace(test: impl FnOnce(Requests) + Send + 'static) {
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("network namespaces need root");
        let socket = RouteSocket::requests(1 << 20).unwrap();
        test(Requests::new(socket, Duration::from_millis(200)));
    })
    .join()
    .unwrap();
}

fn delete(prefix: &str) -> Op {
    Op::RouteDel { prefix: prefix.parse().unwrap(), table: 254, protocol: 186, metric: 20, target: None }
}

#[test]
fn a_lost_answer_ends_by_time_and_what_comes_late_is_not_mixed_up() {
    in_namespace(|mut requests| {
        let mut batch = Batch::default();
        requests.begin(&mut batch);
        for id in 1..=3 {
            assert!(batch.push(OpId(id), &delete("10.0.0.0/8")));
        }
        batch.damage_length_of(1);
        let Outcome::Lost(answers) = requests.execute(&mut batch) else { panic!("there was an answer") };
        let errors: Vec<_> =
            answers.into_iter().map(|(id, result)| (id.0, result.unwrap_err().errno)).collect();
        assert_eq!(errors, [(1, libc::ESRCH), (2, libc::ETIMEDOUT), (3, libc::ETIMEDOUT)]);

        requests.begin(&mut batch);
        assert!(batch.push(OpId(4), &delete("10.0.0.0/8")));
        let Outcome::Complete(answers) = requests.execute(&mut batch) else { panic!("lost again") };
        let answers: Vec<_> =
            answers.into_iter().map(|(id, result)| (id, result.unwrap_err().errno)).collect();
        assert_eq!(answers, [(OpId(4), libc::ESRCH)]);
    });
}

#[test]
fn a_dump_that_the_kernel_refuses_is_no_empty_table() {
    in_namespace(|mut requests| {
        let protocol_in_a_dump = [0, 0, 186, 0, 0, 0, 0, 0];
        let layout = Layout { fixed: &protocol_in_a_dump, attributes: &|_| {} };
        let refused = requests.dump(message::GETNEXTHOP, layout, |_, _| panic!("an entry")).unwrap_err();
        assert_eq!(refused.errno, libc::EINVAL);
        assert!(refused.message.is_some(), "the reason is an extended one");

        let empty = Layout { fixed: &[0; 8], attributes: &|_| {} };
        assert_eq!(
            requests.dump(message::GETNEXTHOP, empty, |_, _| panic!("an entry")),
            Ok(DumpEnd::Complete)
        );
        let no_table =
            Layout { fixed: &[family::INET, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0], attributes: &|_| {} };
        let refused = requests.dump(message::GETROUTE, no_table, |_, _| {}).unwrap_err();
        assert_eq!(refused.errno, libc::ENOENT);
    });
}

#[test]
fn a_dump_that_is_broken_off_does_not_keep_the_next_one_out() {
    in_namespace(|mut requests| {
        // More links than go into two datagrams, which is what the kernel makes ahead of the reader.
        let names = (0..200).map(|number| format!("link add br{number} type bridge\n"));
        let file = std::env::temp_dir().join(format!("bgnl-{}-links", std::process::id()));
        std::fs::write(&file, names.collect::<String>()).unwrap();
        let made = std::process::Command::new("ip").arg("-batch").arg(&file).status().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(made.success());
        let layout = || Layout { fixed: &[0; 16], attributes: &|_| {} };
        let port = requests.socket.port();
        let broken = KernelError { errno: libc::EINTR, message: None };
        let ended = requests.dump_while(message::GETLINK, layout(), |_, _| {}, || Err(broken.clone()));
        assert_eq!(ended, Err(broken));
        let mut links = 0;
        let entry = |header: Header, _: &[u8]| links += usize::from(header.kind == message::NEWLINK);
        assert_eq!(requests.dump(message::GETLINK, layout(), entry), Ok(DumpEnd::Complete));
        assert!(links > 200, "{links}");
        // The watch leaves out what comes from this port.
        assert_eq!(requests.socket.port(), port);
    });
}

#[test]
fn an_error_has_its_text() {
    in_namespace(|mut requests| {
        let mut batch = Batch::default();
        requests.begin(&mut batch);
        assert!(batch.push(OpId(1), &Op::NexthopDel { id: 0 }));
        let Outcome::Complete(answers) = requests.execute(&mut batch) else { panic!("no answer") };
        let error = answers.into_iter().next().unwrap().1.unwrap_err();
        assert_eq!(error.message.as_deref(), Some("Invalid nexthop id"));
    });
}
