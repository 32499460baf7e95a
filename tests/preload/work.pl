# Work for perl: hashes, strings, regular expressions, sort; prints only what is the same each run.
use strict;
use warnings;
use Digest::MD5 'md5_hex';

my $size = shift;
my (%count, @lines);
for my $i (1 .. 60000 * $size) {
  push @{$count{"key" . ($i * 7919 % 5003)}}, $i;
  push @lines, join(" ", $i, "x" x ($i % 40), $i * 31);
}
print scalar(keys %count), " ", md5_hex(join ",", map { "$_=@{$count{$_}}" } sort keys %count), "\n";
my $text = join "\n", sort { $a cmp $b } @lines;
print length($text), " ", md5_hex($text), "\n";
my $digits = () = $text =~ /\b\d*7\b/g;
(my $other = $text) =~ s/x+/<$&>/g;
print "$digits ", md5_hex($other), "\n";
my $pid = fork();
if ($pid == 0) { exit(length($other) == length($text) ? 1 : 5); }
waitpid $pid, 0;
print $? >> 8, " ", md5_hex(join "", reverse split //, substr($text, 0, 200000)), "\n";
