// java.net.http of Java.

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Iterator;
import java.util.stream.Stream;

class Client {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static HttpRequest.Builder request(String url) {
        return HttpRequest.newBuilder(URI.create(url));
    }

    static HttpResponse<String> get(String url) throws IOException, InterruptedException {
        return CLIENT.send(request(url).build(), BodyHandlers.ofString());
    }

    public static void main(String[] bases) throws IOException, InterruptedException {
        String allowed = bases[0], brokered = bases[1], refused = bases[2];
        String key = System.getenv("KEY");
        System.out.println("key " + key);
        System.out.println("allowed " + get(allowed + "/echo").statusCode());
        HttpRequest withKey = request(brokered + "/echo").header("Authorization", "Bearer " + key).build();
        System.out.println("brokered " + CLIENT.send(withKey, BodyHandlers.ofString()).statusCode());
        HttpResponse<Stream<String>> events = CLIENT.send(request(brokered + "/sse").build(), BodyHandlers.ofLines());
        for (Iterator<String> lines = events.body().iterator(); lines.hasNext(); ) {
            String line = lines.next();
            if (line.startsWith("data: ")) {
                String event = line.substring("data: ".length());
                System.out.println("event " + event);
                get(allowed + "/echo?ack=" + event);
            }
        }
        try {
            HttpResponse<String> answer = get(refused + "/");
            System.out.println("refused " + answer.statusCode() + " " + answer.body());
        } catch (IOException error) {
            System.out.println("refused " + error);
        }
    }
}
