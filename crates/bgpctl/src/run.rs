//! From a command to its requests, and from the reply to the output.

use bgp_api::{
    ActionReply, ActionRequest, BfdReply, CheckState, ConfigReply, ConfirmReply, DoctorReply, FibQuery,
    FibReply, NeighborsReply, NexthopsReply, ReloadPlan, ReloadReply, ReloadRequest, RouteQuery, RoutesReply,
    Summary, VersionReply, path,
};
use serde::Serialize;

use crate::cli::{Cli, Command, NeighborArgs, ReloadArgs, RouteArgs, Show};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Style, print, print_json};
use crate::{drain, generate, monitor, show};

/// Does what was typed.
pub(crate) fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man { directory } => generate::man_pages(directory),
        Command::Show(_)
        | Command::Neighbor(_)
        | Command::Drain(_)
        | Command::Doctor
        | Command::Reload(_)
        | Command::Confirm
        | Command::Monitor
        | Command::Version => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Asker::new(cli).ask(&cli.command))
        }
    }
}

struct Asker<'a> {
    client: Client<'a>,
    style: Style,
    json: bool,
}

impl<'a> Asker<'a> {
    fn new(cli: &'a Cli) -> Self {
        Self {
            client: Client::new(&cli.global.socket, cli.global.timeout),
            style: Style::of(cli),
            json: cli.json(),
        }
    }

    async fn ask(&self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::Show(what) => self.show(what).await,
            Command::Neighbor(args) => self.neighbor(args).await,
            Command::Reload(args) => self.reload(args).await,
            Command::Confirm => {
                let reply: ConfirmReply = self.client.post(path::CONFIRM, String::new()).await?;
                self.put(&reply, || show::reload::confirmed(&reply))
            }
            Command::Drain(args) => drain::run(&self.client, args, self.style, self.json).await,
            Command::Doctor => self.doctor().await,
            Command::Monitor => monitor::run(&self.client, self.style.painter, self.json).await,
            Command::Version => self.version().await,
            // Need no daemon; `run` has done them.
            Command::Completions { .. } | Command::Man { .. } => Ok(()),
        }
    }

    async fn show(&self, what: &Show) -> Result<(), Failure> {
        match what {
            Show::Neighbors { address } => self.neighbors(address.as_deref()).await,
            Show::Summary => {
                let reply: Summary = self.client.get(path::SUMMARY).await?;
                self.put(&reply, || show::summary::render(&reply, self.style))
            }
            Show::Routes(args) => self.routes(args).await,
            Show::Fib { prefix, state, limit } => {
                let query = FibQuery { prefix: prefix.clone(), state: *state, limit: *limit, after: None };
                self.fib(query).await
            }
            Show::Nexthops => {
                let reply: NexthopsReply = self.client.get(path::NEXTHOPS).await?;
                self.put(&reply, || show::nexthops::render(&reply, self.style))
            }
            Show::Bfd => {
                let reply: BfdReply = self.client.get(path::BFD).await?;
                self.put(&reply, || show::bfd::render(&reply, self.style))
            }
            Show::Config => {
                let reply: ConfigReply = self.client.get(path::CONFIG).await?;
                self.put(&reply, || show::actions::config(&reply))
            }
        }
    }

    async fn neighbors(&self, address: Option<&str>) -> Result<(), Failure> {
        let question = path::with_query(path::NEIGHBORS, &[("address", address)]);
        let reply: NeighborsReply = self.client.get(&question).await?;
        let Some(address) = address else {
            if self.json {
                return print_json(&reply);
            }
            let summary: Summary = self.client.get(path::SUMMARY).await?;
            return print(&show::neighbors::render(&reply, &summary, self.style));
        };
        match reply.neighbors.first() {
            Some(neighbor) => self.put(&reply, || show::neighbor::render(neighbor, self.style)),
            None => Err(Failure::NotFound(format!("no neighbor {address}"))),
        }
    }

    async fn routes(&self, args: &RouteArgs) -> Result<(), Failure> {
        let reply = self.all_routes(args).await?;
        if reply.routes.is_empty()
            && let Some(prefix) = &args.prefix
        {
            return Err(Failure::NotFound(format!("no route for {prefix}")));
        }
        let detail = args.prefix.is_some() && !args.longer;
        self.put(&reply, || show::routes::render(&reply, detail, self.style))
    }

    /// Page after page, until the limit or the end.
    async fn all_routes(&self, args: &RouteArgs) -> Result<RoutesReply, Failure> {
        let mut query = RouteQuery {
            prefix: args.prefix.clone(),
            longer: args.longer,
            received: args.received.clone(),
            advertised: args.advertised.clone(),
            family: args.family.clone(),
            limit: args.limit,
            after: None,
        };
        let mut all: RoutesReply = self.client.get(&query.to_path()).await?;
        while all.more && args.limit.is_none_or(|limit| all.routes.len() < limit) {
            query.after = all.routes.last().map(|route| route.prefix.clone());
            query.limit = args.limit.map(|limit| limit.saturating_sub(all.routes.len()));
            let page: RoutesReply = self.client.get(&query.to_path()).await?;
            let last = page.routes.last().map(|route| route.prefix.clone());
            check_progress(query.after.as_ref(), last.as_ref(), page.more)?;
            all.more = page.more;
            all.routes.extend(page.routes);
        }
        Ok(all)
    }

    async fn fib(&self, mut query: FibQuery) -> Result<(), Failure> {
        let limit = query.limit;
        let mut all: FibReply = self.client.get(&query.to_path()).await?;
        while all.more && limit.is_none_or(|limit| all.routes.len() < limit) {
            query.after = all.routes.last().map(|route| route.prefix.clone());
            query.limit = limit.map(|limit| limit.saturating_sub(all.routes.len()));
            let page: FibReply = self.client.get(&query.to_path()).await?;
            let last = page.routes.last().map(|route| route.prefix.clone());
            check_progress(query.after.as_ref(), last.as_ref(), page.more)?;
            all.more = page.more;
            all.routes.extend(page.routes);
        }
        match &query.prefix {
            Some(prefix) if all.routes.is_empty() => {
                Err(Failure::NotFound(format!("no kernel route for {prefix}")))
            }
            Some(_) | None => self.put(&all, || show::fib::render(&all, self.style)),
        }
    }

    async fn reload(&self, args: &ReloadArgs) -> Result<(), Failure> {
        if args.dry_run {
            let question = path::with_query(path::RELOAD, &[("all", args.all.then_some("true"))]);
            let plan: ReloadPlan = self.client.get(&question).await?;
            return self.put(&plan, || show::reload::plan(&plan));
        }
        let body = match args.confirm {
            None => String::new(),
            seconds => json(&ReloadRequest { confirm_seconds: seconds })?,
        };
        let reply: ReloadReply = self.client.post(path::RELOAD, body).await?;
        self.put(&reply, || show::reload::done(&reply))
    }

    async fn neighbor(&self, args: &NeighborArgs) -> Result<(), Failure> {
        let body = json(&ActionRequest { reason: args.reason.clone() })?;
        let question = path::neighbor_action(&args.address, args.action());
        let reply: ActionReply = self.client.post(&question, body).await?;
        self.put(&reply, || show::actions::action(&reply))
    }

    async fn doctor(&self) -> Result<(), Failure> {
        let reply: DoctorReply = self.client.get(path::DOCTOR).await?;
        self.put(&reply, || show::doctor::render(&reply, self.style))?;
        let wrong = reply.checks.iter().filter(|check| check.state != CheckState::Ok).count();
        if reply.healthy { Ok(()) } else { Err(Failure::Unwell(wrong)) }
    }

    /// Our own version is told even where the daemon cannot be reached.
    async fn version(&self) -> Result<(), Failure> {
        if !self.json {
            print(&format!("bgpctl {}\n", bgp_api::VERSION))?;
        }
        let reply: VersionReply = self.client.get(path::VERSION).await?;
        self.put(&reply, || show::actions::version(&reply))
    }

    fn put<T: Serialize>(&self, reply: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { print_json(reply) } else { print(&text()) }
    }
}

fn json(request: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(request).map_err(|error| Failure::Malformed(error.to_string()))
}

/// A page that does not move on would be asked for without end.
fn check_progress(after: Option<&String>, last: Option<&String>, more: bool) -> Result<(), Failure> {
    if more && (after.is_none() || last.is_none() || last == after) {
        return Err(Failure::Malformed("it announces more and has nothing more".to_owned()));
    }
    Ok(())
}
