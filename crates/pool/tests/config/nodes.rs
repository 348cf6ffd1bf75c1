//! `tools.nodes`.

use std::path::Path;

use crate::place::{said, yaml};

const NODES: &str = r#"
tools:
  nodes:
    web1:
      host: web1.example.com
      user: ccpool
      identityFile: ~/.ssh/ccpool
      knownHostsFile: /etc/ccpool/known_hosts
      allow: ["uptime", "systemctl  status *", "journalctl **"]
      agents: [main]
"#;

#[test]
fn nodes_have_everything_that_ssh_needs() {
    let place = yaml(NODES);
    let config = place.config();
    let node = &config.tools.nodes["web1"];
    assert_eq!((node.port, node.user.as_str()), (22, "ccpool"));
    assert_eq!(node.identity_file, place.folder.path().join(".ssh/ccpool"));
    assert_eq!(node.known_hosts_file, Path::new("/etc/ccpool/known_hosts"));
    let allow: Vec<String> = node.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["uptime", "systemctl status *", "journalctl **"]);
    assert_eq!(node.agents.as_deref(), Some(&["main".to_owned()][..]));
    let again = yaml(&config.to_redacted_json().to_string().replace("***", "x")).config();
    assert_eq!(again.tools.nodes, config.tools.nodes);
}

#[test]
fn no_node_can_be_taken_for_an_option_of_ssh() {
    let said = said(&yaml(
        r#"
tools:
  nodes:
    -a: {host: h, user: u, identityFile: /i, knownHostsFile: /k}
    options: {host: -oProxyCommand=x, user: -oProxyCommand=x, identityFile: "/a b", knownHostsFile: k}
    more: {host: "u@h", user: "a b", identityFile: "/i%h", knownHostsFile: "/k$x", port: 0}
    empty: {}
    open: {host: h, user: u, identityFile: /i, knownHostsFile: /k, allow: ["**", ""], maxOutputBytes: 1}
"#,
    ));
    insta::assert_snapshot!(said.join("\n"), @r#"
4 tools.nodes.-a | `tools.nodes.-a` is named "-a", which agents could not write; begin with a letter or digit, use only letters, digits, _ . - and at most 64
5 tools.nodes.options.host | `tools.nodes.options.host` is the text "-oProxyCommand=x", not the name or address of a host; write a name, an IPv4 address, or an IPv6 address without brackets; the port and the user have keys of their own
5 tools.nodes.options.identityFile | `tools.nodes.options.identityFile` is no path that ssh takes as it stands; write an absolute path (or one below ~/) without spaces, quotes, \ % $ and ~
5 tools.nodes.options.knownHostsFile | `tools.nodes.options.knownHostsFile` is no path that ssh takes as it stands; write an absolute path (or one below ~/) without spaces, quotes, \ % $ and ~
5 tools.nodes.options.user | `tools.nodes.options.user` is the text "-oProxyCommand=x", not the name of a user; use letters, digits, _ . - and begin with none of the last two
6 tools.nodes.more.host | `tools.nodes.more.host` is the text "u@h", not the name or address of a host; write a name, an IPv4 address, or an IPv6 address without brackets; the port and the user have keys of their own
6 tools.nodes.more.identityFile | `tools.nodes.more.identityFile` is no path that ssh takes as it stands; write an absolute path (or one below ~/) without spaces, quotes, \ % $ and ~
6 tools.nodes.more.knownHostsFile | `tools.nodes.more.knownHostsFile` is no path that ssh takes as it stands; write an absolute path (or one below ~/) without spaces, quotes, \ % $ and ~
6 tools.nodes.more.port | `tools.nodes.more.port` is 0, and must be at least 1; write a whole number from 1 to 65535
6 tools.nodes.more.user | `tools.nodes.more.user` is the text "a b", not the name of a user; use letters, digits, _ . - and begin with none of the last two
7 tools.nodes.empty.host | `tools.nodes.empty.host` is missing; name the machine's host
7 tools.nodes.empty.identityFile | `tools.nodes.empty.identityFile` is missing; name the file with the private key
7 tools.nodes.empty.knownHostsFile | `tools.nodes.empty.knownHostsFile` is missing; name a file with the machine's key, such as `ssh-keyscan` prints, once you have compared it
7 tools.nodes.empty.user | `tools.nodes.empty.user` is missing; name the user that commands run as
8 tools.nodes.open.allow[0] | `tools.nodes.open.allow[0]` is the text "**", not a pattern of commands; write a program and its arguments, such as `systemctl status *`, with ** only as a word of its own at the end
8 tools.nodes.open.allow[1] | `tools.nodes.open.allow[1]` is the text "", not a pattern of commands; write a program and its arguments, such as `systemctl status *`, with ** only as a word of its own at the end
8 tools.nodes.open.maxOutputBytes | `tools.nodes.open.maxOutputBytes` is 1, and must be at least 1024; write a whole number from 1024 to 16777216
"#);
}
