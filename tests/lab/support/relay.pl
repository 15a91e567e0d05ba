#!/usr/bin/env perl
# Passes bytes on, both ways, to the first backend; without it the answer is 502. It
# knows nothing of health, by which a real proxy may answer otherwise.
use strict;
use IO::Select;
use IO::Socket::INET;
my ($backend) = split /,/, $ENV{LAB_BACKENDS};
my $listener = IO::Socket::INET->new(LocalAddr => $ENV{LAB_LISTEN}, Listen => 128, ReuseAddr => 1)
    or die "cannot listen: $!";
my $select = IO::Select->new($listener);
my %peer;
$SIG{PIPE} = 'IGNORE';
sub drop {
    for my $socket (grep { defined } @_) {
        $select->remove($socket);
        delete $peer{$socket};
        close $socket;
    }
}
sub pass_on {
    my ($to, $bytes) = @_;
    while (length $bytes) {
        my $written = syswrite($to, $bytes) or return 0;
        substr($bytes, 0, $written) = '';
    }
    return 1;
}
while (my @ready = $select->can_read) {
    for my $socket (@ready) {
        if ($socket == $listener) {
            my $client = $listener->accept or next;
            my $server = IO::Socket::INET->new(PeerAddr => $backend);
            if ($server) {
                ($peer{$client}, $peer{$server}) = ($server, $client);
                $select->add($client, $server);
            } else {
                sysread $client, my $request, 65536;
                pass_on($client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                close $client;
            }
            next;
        }
        my $peer = $peer{$socket} or next;
        my $read = sysread $socket, my $bytes, 65536;
        drop($socket, $peer) unless $read && pass_on($peer, $bytes);
    }
}
