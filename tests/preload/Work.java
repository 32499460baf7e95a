import java.util.*;
import java.util.stream.*;
import java.nio.ByteBuffer;
import java.util.zip.*;

/** Work for java: threads, direct buffers and zlib, which are what reaches malloc there. */
public class Work {
  public static void main(String[] args) throws Exception {
    int size = Integer.parseInt(args[0]);
    Map<String, List<Integer>> table = new TreeMap<>();
    for (int i = 0; i < 50000 * size; ++i) {
      table.computeIfAbsent("k" + (i * 7919L % 5003), k -> new ArrayList<>()).add(i);
    }
    System.out.println(table.size() + " " + table.toString().hashCode());
    long sum = 0;
    for (int i = 1; i < 400; ++i) {
      ByteBuffer buffer = ByteBuffer.allocateDirect(i * 1000);
      for (int k = 0; k < buffer.capacity(); k += 97) buffer.put(k, (byte) i);
      sum += buffer.get(97 % buffer.capacity());
    }
    System.out.println(sum);
    List<Thread> threads = new ArrayList<>();
    long[] sizes = new long[8];
    for (int t = 0; t < 8; ++t) {
      final int number = t;
      threads.add(new Thread(() -> {
        byte[] text = table.toString().substring(number * 1000, number * 1000 + 90000).getBytes();
        Deflater deflater = new Deflater();
        deflater.setInput(text);
        deflater.finish();
        byte[] out = new byte[100000];
        sizes[number] = deflater.deflate(out);
        deflater.end();
      }));
    }
    for (Thread thread : threads) thread.start();
    for (Thread thread : threads) thread.join();
    System.out.println(Arrays.toString(sizes));
  }
}
