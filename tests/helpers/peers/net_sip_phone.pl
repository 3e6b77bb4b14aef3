# A phone on Net::SIP, run as a program: events go to stdout.
#
# Arguments: server, port, extension, password, own SIP port, first and last RTP port, a file of
# PCMU that it says again and again, a file for what it hears, and perhaps a number to call. Without
# a number, it answers each incoming call at once.
use strict;
use warnings;
use Net::SIP qw(:all);

$| = 1;
my ($server, $port, $extension, $password, $own_port, $first, $last, $said, $heard, $number) = @ARGV;
$Net::SIP::Util::RTP_MIN_PORT = $first;
$Net::SIP::Util::RTP_MAX_PORT = $last;
my $phone = Net::SIP::Simple->new(
    leg            => Net::SIP::Leg->new(addr => "127.0.0.1", port => $own_port, proto => "udp"),
    registrar      => "$server:$port",
    outgoing_proxy => "$server:$port",
    domain         => $server,
    from           => "sip:$extension\@$server",
    contact        => "sip:$extension\@127.0.0.1:$own_port",
    auth           => [$extension, $password],
);
print $phone->register(expires => 300) ? "registered\n" : 'failed ' . $phone->error . "\n";

my $talk = $phone->rtp('send_recv', $said, -1, $heard);
if (defined $number) {
    my $ended;
    my $call = $phone->invite("sip:$number\@$server", init_media => $talk, recv_bye => \$ended);
    print 'placed ', ($call && !$call->error ? 'ANSWERED' : 'FAILED'), "\n";
    $phone->loop(\$ended);
    print "ended\n";
} else {
    $phone->listen(
        init_media     => $talk,
        cb_create      => sub { print "ringing\n"; 1 },
        cb_established => sub { print "answered\n" },
        recv_bye       => sub { print "ended\n" },
    );
}
$phone->loop;
