import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.antlr.v4.runtime.CharStreams;
import org.antlr.v4.runtime.Token;
import org.apache.spark.sql.catalyst.parser.SqlBaseLexer;
import org.apache.spark.sql.catalyst.parser.UpperCaseCharStream;

/** For each line of text: where the tokens begin and end that Spark's own lexer cuts it into. */
public class SparkTokens {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            System.out.println("TOKENS " + tokens(line));
        }
    }

    static String tokens(String text) {
        var lexer = new SqlBaseLexer(new UpperCaseCharStream(CharStreams.fromString(text)));
        lexer.removeErrorListeners();
        var found = new StringBuilder();
        for (var token : lexer.getAllTokens()) {
            if (token.getChannel() == Token.DEFAULT_CHANNEL) {
                found.append(token.getStartIndex()).append('-').append(token.getStopIndex() + 1).append(' ');
            }
        }
        return found.toString().trim();
    }
}
