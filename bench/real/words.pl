# A log is made, taken apart by regular expressions, counted in nested hashes, sorted and joined.

use strict;
use warnings;

my $seed = 1;

sub pseudo_random {
    my ($bound) = @_;
    $seed = ($seed * 1103515245 + 12345) % 2147483648;
    return ($seed >> 8) % $bound;
}

my @verbs = qw(GET PUT POST DELETE HEAD);
my @lines = map {
    sprintf '10.0.%d.%d %s /shop/%d/item-%d?session=%08x %d', pseudo_random(16),
        pseudo_random(250), $verbs[pseudo_random(5)], pseudo_random(40), pseudo_random(3000),
        pseudo_random(8388608), 200 + pseudo_random(4) * 100
} 1 .. 40_000;

my (%by_host, %by_item);
for (@lines) {
    my ($host, $verb, $path, $status) = /^(\S+) (\w+) (\S+) (\d+)$/ or die "bad line: $_";
    my ($item) = $path =~ m{item-(\d+)};
    $by_host{$host}{$verb}{$status}++;
    push @{ $by_item{$item} }, { host => $host, path => $path };
}

my $report = '';
for my $host (sort keys %by_host) {
    my $verbs = $by_host{$host};
    $report .= "$host " . join(',', map { "$_=" . scalar keys %{ $verbs->{$_} } } sort keys %$verbs) . "\n";
}
for my $item (sort { @{ $by_item{$b} } <=> @{ $by_item{$a} } || $a <=> $b } keys %by_item) {
    my @hosts = sort map { $_->{host} } @{ $by_item{$item} };
    $report .= "$item " . join(' ', @hosts[0 .. ($#hosts < 4 ? $#hosts : 4)]) . "\n";
}
(my $shout = uc $report) =~ s/10\.0\.(\d+)/ten-$1/g;
print length $report, ' ', unpack('%32C*', $shout), "\n";
