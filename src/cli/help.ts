/** What `--help` prints. Lines are at most 80 wide. */
import type { CommandName } from "./args.ts";

/** The help of the program, or of a command. */
export function helpOf(topic: CommandName | undefined): string {
  const parts = topic === undefined ? [overview] : [commands[topic]];
  return `${[...parts, connection, environment, exits].join("\n\n")}\n`;
}

const overview = `\
event-value - watch, read and write values in etcd

Usage: event-value watch  [options] <key or prefix/>
       event-value get    [options] <key>
       event-value set    [options] <key> <value>
       event-value delete [options] <key>
       event-value run    --when KEY [options] -- <command> [arguments]
       event-value lease  --ttl TIME [options] [-- <command> [arguments]]

Commands:
  watch    show a key, or all keys under a prefix, as they change: a live table
           on a terminal, one JSON object a line elsewhere
  get      print the value of a key, or list a prefix
  set      store a value
  delete   delete a key
  run      run a command while a key is there, or has a value; restart it when
           that changes
  lease    hold a lease, and keys that are deleted when it ends

  event-value <command> --help tells all about a command.

Options:
  --json              print JSON, one object a line (not run and lease)
  -h, --help          print this
  --version           print the version

Examples:
  export EVENT_VALUE_STORE=http://127.0.0.1:2379
  event-value set services/db '{"host":"db1","port":5432}'
  event-value get services/db
  event-value watch services/
  event-value run --when config/limits -- ./server
  event-value lease --ttl 10s --put services/web=up -- ./server`;

const graceOption = `\
  --grace TIME        what the command has to end after SIGTERM, before it is
                      killed (default: 10s)`;

const timeoutOption = `\
  --timeout TIME      give up after this time: 500ms, 5s, 2m; a bare number
                      means seconds, 0 no limit (default: 5s)`;

const commands: Readonly<Record<CommandName, string>> = {
  watch: `\
event-value watch - show a key, or all keys under a prefix, as they change

Usage: event-value watch [options] <key or prefix/>

  A key that ends in / stands for all keys that begin with it.

  On a terminal: a table that is kept up to date in place. AGE is the time since
  this client saw the change; >5s means that the value was there when it began
  to watch, 5 seconds ago. Deleted keys stay for 5 seconds. Control characters
  are shown as escapes such as \\n or \\x1b, bytes that are not UTF-8 in base64.

  Elsewhere, or with --json: one JSON object a line, first for what is there and
  then for each change:
    {"type":"put","key":…,"value":…,"revision":…,"createRevision":…}
    {"type":"delete","key":…,"revision":…}
    {"type":"invalid","key":…,"valueBase64":…,"revision":…,"error":…}
  "valueBase64" takes the place of "value" where that is not UTF-8. "invalid" is
  what the store holds under a key that is not UTF-8. What happens to the
  connection is told on stderr: connecting, live, stale, each with its cause.

  The newest state counts: of changes that come faster than they are read, each
  key's last one is printed. So a slow reader never makes the memory grow. That
  a reader has gone (| head -1) is noticed at the next change.

  It never gives up: while the store cannot be reached it says that it is stale,
  tries again, and then shows what was missed. Ctrl-C ends it.

Options:
  --prefix            watch all keys that begin with <key>; "" means all keys
  --json              print JSON lines, also on a terminal
  --base64            show all values in base64

Examples:
  event-value watch services/
  event-value watch --prefix "" --json | jq -r .key
  event-value watch config/limits | jq -r --unbuffered .value`,

  get: `\
event-value get - print the value of a key, or list a prefix

Usage: event-value get [options] <key>
       event-value get --prefix [options] <prefix>

  Prints the value as it is, and a newline. On a terminal, control characters
  other than newline and tab are shown as escapes such as \\x1b. A value that is
  not UTF-8 needs --base64 or --json.

  With --prefix: a line for each key, with a tab between key and value, in the
  order of the keys. Control characters are shown as escapes, so that it is
  always one line; --json gives both exactly.

Options:
  --prefix            list all keys that begin with <prefix>; "" means all keys
  --base64            print values in base64
  --json              print {"key":…,"value":…,"revision":…,"createRevision":…},
                      with "valueBase64" in the place of "value" where that is
                      not UTF-8, or with --base64
${timeoutOption}

Examples:
  event-value get config/limits
  event-value get --prefix services/
  event-value get --base64 logo.png | base64 -d > logo.png`,

  set: `\
event-value set - store a value

Usage: event-value set [options] <key> <value>
       event-value set [options] <key> -
       event-value set [options] <key> --file FILE

  Stores the argument, all of stdin (-), or the bytes of a file, exactly as they
  are; nothing is trimmed. Prints the store's revision of the write. A value
  that begins with a dash goes behind --.

Options:
  --file FILE         store what is in the file
  --base64            the value is in base64; store what it stands for
  --json              print {"key":…,"revision":…}
${timeoutOption}

Examples:
  event-value set config/limits 100
  event-value set config/offset -- -5
  printf %s "$TOKEN" | event-value set secrets/token -
  event-value set logo.png --file logo.png`,

  delete: `\
event-value delete - delete a key

Usage: event-value delete [options] <key>

  Prints the store's revision of the deletion. Where there is no such key, the
  exit code is 3.

Options:
  --json              print {"key":…,"revision":…}
${timeoutOption}

Examples:
  event-value delete config/limits`,

  run: `\
event-value run - run a command while a key is there, or has a value

Usage: event-value run --when KEY [options] -- <command> [arguments]

  Runs the command while there is such a key. When its value changes, the
  command is stopped, and started again when it has ended; of values that change
  faster than that, only the newest counts. With --equals: runs the command
  while that is the value. The command has stdin, stdout and stderr, and in its
  environment:
    EVENT_VALUE         the value
    EVENT_VALUE_KEY     the key
  A value that is not UTF-8, or holds a null character, counts as none.

  To be stopped, the command is sent SIGTERM, and is killed if it has not ended
  in time. Only the command itself is, not what it has started: a shell should
  end with exec. A command that ends by itself is started again when the value
  changes. Why no command runs is told on stderr, and what happens to the
  connection: connecting, live, stale, each with its cause.

  While the store cannot be reached, the command goes on. Ctrl-C (or SIGTERM)
  stops the command and ends the program; a second one kills the command.

Options:
  --when KEY          the key
  --equals VALUE      run while this is the value (--equals=-5, where it begins
                      with a dash)
${graceOption}

Examples:
  event-value run --when config/limits -- ./server
  event-value run --when features/report --equals on -- ./report
  event-value run --when motd -- sh -c 'exec wall "$EVENT_VALUE"'`,

  lease: `\
event-value lease - hold a lease, and keys that are deleted when it ends

Usage: event-value lease --ttl TIME [options] [-- <command> [arguments]]

  Grants a lease, writes the keys of --put, all at once, and keeps the lease
  alive. It ends with the program, and the keys are deleted then: at once where
  the program can still tell the store, and otherwise within the time to live.

  Without a command: prints the lease's id, in decimal, when the keys are
  written. Ctrl-C ends it.

  With a command: runs it, and ends with its exit code when it has ended. The
  command has stdin, stdout and stderr, and the lease's id in its environment as
  EVENT_VALUE_LEASE. Ctrl-C (or SIGTERM) stops it: it is sent SIGTERM, and is
  killed if it has not ended in time. A second one kills it.

  A lease that is lost, since the store was not reached in time or somebody
  revoked it, stops the command; the exit code is 5.

Options:
  --ttl TIME          how long the lease outlives the program, at most: 10s, 2m;
                      rounded up to seconds; the store may grant more
  --put KEY=VALUE     a key to write, bound to the lease; may be repeated
${graceOption}
${timeoutOption}
                      to get the lease and write the keys

Examples:
  event-value lease --ttl 10s --put services/web='{"port":80}' -- ./server
  event-value lease --ttl 1m --put maintenance="$USER"`,
};

const connection = `\
Store:
  --store URL[,URL…]  the members of the cluster: http://host:port or
                      https://host:port (default: EVENT_VALUE_STORE)
  --namespace PREFIX  put before all keys, and taken off those that are shown
  --user NAME         log in; the password is asked for on the terminal, or
                      taken from EVENT_VALUE_PASSWORD
  --cacert FILE       who may have signed the servers' certificates, in PEM form
                      (default: the authorities that Node trusts)
  --cert FILE         the client's own certificate
  --key FILE          its key
  --server-name NAME  the name in the servers' certificates, where it is not the
                      host's`;

const environment = `\
Environment:
  EVENT_VALUE_STORE     the store, where --store is not given
  EVENT_VALUE_PASSWORD  the password of --user
  NO_COLOR              if set, the table has no colours`;

const exits = `\
Exit codes:
  0    done
  1    failed: refused by the store, not to be shown, or not to be run
  2    the command line is wrong
  3    there is no such key
  4    the store cannot be reached, or did not answer in time
  5    the lease was lost
  130  interrupted by Ctrl-C (143: by SIGTERM)`;
