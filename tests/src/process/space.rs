//! Networks of their own for daemons: namespaces, joined by a cable that loses and delays, and that can be pulled.
//!
//! ```text
//! node ─ node ─ bridge "left" ═ cable (tests/python/link.py) ═ bridge "right" ─ firewall (link.py, too) ─ node
//! ```
//!
//! Needs no rights of root: a user namespace gives what is needed within it. Where a system does not allow that, [`Site::built`]
//! gives the reason, and a test says that it skips.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::Member;

/// Which bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// One.
    Left,
    /// The other.
    Right,
}

/// What stands between a member and its bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Nothing.
    Open,
    /// A firewall that lets in answers only: nobody outside can begin anything.
    AnswersOnly,
    /// The same, and no UDP either way.
    TcpAnswersOnly,
}

/// A process that does not outlive its owner.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two bridges and the cable between them.
pub struct Site {
    hub: Held,
    spaces: Vec<Held>,
    /// Of each member placed, its network.
    entered: BTreeMap<u8, u32>,
    cables: Vec<Held>,
}

impl Site {
    /// Both bridges, and a cable with this share of loss and this delay in seconds.
    ///
    /// # Errors
    /// In words: what this system lacks or forbids.
    pub fn built(loss: f64, delay: f64) -> Result<Self, String> {
        let hub = held(Command::new("unshare").args(["-Urn", "sh", "-c", "echo ready; exec sleep 3600"]))?;
        let mut site = Self { hub, spaces: Vec::new(), entered: BTreeMap::new(), cables: Vec::new() };
        site.within(
            "for side in left right; do
                 ip link add $side type bridge && ip link set $side up &&
                 ip link add end-$side type veth peer name raw-$side &&
                 ip link set end-$side master $side && ip link set end-$side up && ip link set raw-$side up
             done",
        )?;
        let mut cable = site.inside(site.hub.0.id());
        cable.args(["python3", "-B"]).arg(script()).args(["cable", "raw-left", "raw-right"]);
        cable.args(["--loss", &loss.to_string(), "--delay", &delay.to_string()]);
        site.cables.push(held(&mut cable)?);
        Ok(site)
    }

    /// Gives `member` a network of its own at a bridge; it listens on `10.77.0.NUMBER` from its next start on.
    ///
    /// # Panics
    /// A step does not work.
    pub fn place(&mut self, member: &mut Member, side: Side, number: u8) {
        self.place_behind(Door::Open, member, side, number);
    }

    /// [`Self::place`] behind a door.
    ///
    /// # Panics
    /// A step does not work.
    pub fn place_behind(&mut self, door: Door, member: &mut Member, side: Side, number: u8) {
        let mut command = self.inside(self.hub.0.id());
        command.args(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 3600"]);
        let space = held(&mut command).unwrap();
        let (id, bridge) = (space.0.id(), if side == Side::Left { "left" } else { "right" });
        self.within(&format!(
            "ip link add port-{number} type veth peer name eth0 netns {id} && ip link set port-{number} up"
        ))
        .unwrap();
        if door == Door::Open {
            self.within(&format!("ip link set port-{number} master {bridge}")).unwrap();
        } else {
            self.within(&format!(
                "ip link add gate-{number} type veth peer name wall-{number} && ip link set gate-{number} master {bridge} &&
                 ip link set gate-{number} up && ip link set wall-{number} up"
            ))
            .unwrap();
            let mut wall = self.inside(self.hub.0.id());
            wall.args(["python3", "-B"]).arg(script());
            wall.args(["cable", &format!("port-{number}"), &format!("wall-{number}"), "--answers-only"]);
            wall.args((door == Door::TcpAnswersOnly).then_some("--no-udp"));
            self.cables.push(held(&mut wall).unwrap());
        }
        let mut command = self.inside(id);
        command.args(["sh", "-ec"]).arg(format!(
            "ip link set lo up; python3 -B {:?} plain eth0; ip addr add 10.77.0.{number}/24 dev eth0; ip link set eth0 up",
            script()
        ));
        done(&mut command).unwrap();
        self.spaces.push(space);
        self.entered.insert(number, id);
        member.network =
            format!("\"/ip4/10.77.0.{number}/udp/4001/quic-v1\", \"/ip4/10.77.0.{number}/tcp/4001\"");
        member.launcher = entering(id);
    }

    /// Gives a placed member the address `10.77.0.NEXT` instead of its own, while it runs.
    ///
    /// # Panics
    /// It does not work.
    pub fn moved(&self, number: u8, next: u8) {
        let mut command = self.inside(self.entered[&number]);
        done(command.args(["sh", "-ec"]).arg(format!(
            "ip addr del 10.77.0.{number}/24 dev eth0; ip addr add 10.77.0.{next}/24 dev eth0"
        )))
        .unwrap();
    }

    /// Pulls the cable, or puts it in again.
    ///
    /// # Panics
    /// It does not work.
    pub fn plugged(&self, plugged: bool) {
        self.within(&format!("ip link set end-left {}", if plugged { "up" } else { "down" })).unwrap();
    }

    fn within(&self, script: &str) -> Result<(), String> {
        let mut command = self.inside(self.hub.0.id());
        done(command.args(["sh", "-ec", script]))
    }

    fn inside(&self, id: u32) -> Command {
        let line = entering(id);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        command
    }
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/link.py")
}

fn entering(id: u32) -> Vec<String> {
    let id = id.to_string();
    ["nsenter", "-t", &id, "-U", "-n", "--preserve-credentials", "--"].map(str::to_owned).to_vec()
}

/// Starts what says one line once it stands.
fn held(command: &mut Command) -> Result<Held, String> {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut held = Held(command.spawn().map_err(|error| format!("{name}: {error}"))?);
    let mut line = String::new();
    let out = held.0.stdout.take().ok_or("no stdout")?;
    BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
    if line.is_empty() {
        let mut said = String::new();
        if let Some(mut err) = held.0.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut err, &mut said);
        }
        return Err(format!("{name}: {}", said.trim()));
    }
    Ok(held)
}

fn done(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
