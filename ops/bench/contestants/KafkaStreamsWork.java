import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** The work on Kafka Streams, as its documentation writes it: a stream, an aggregate by key in RocksDB, exactly once. */
public final class KafkaStreamsWork {
    /** Confluent's wire format: a zero and the schema's id, before the body. */
    private static final int FRAME = 5;

    private static final Map<String, String> TOLD = System.getenv();

    public static void main(String[] arguments) throws Exception {
        Schema event = schema("BENCH_SCHEMA");
        Schema row = schema("BENCH_ROW_SCHEMA");
        KafkaStreams streams = new KafkaStreams(topology(event, row).build(), settings());
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Schema schema(String variable) throws IOException {
        return new Schema.Parser().parse(Files.readString(Path.of(TOLD.get(variable))));
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, TOLD.get("BENCH_NAME"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, TOLD.get("BENCH_BROKER"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, TOLD.get("BENCH_STATE"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        TOLD.forEach((name, value) -> {
            if (name.startsWith("STREAMS_")) {
                settings.put(name.substring(8).toLowerCase().replace('_', '.'), value);
            }
        });
        return settings;
    }

    private static StreamsBuilder topology(Schema event, Schema row) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> inbox =
                builder.stream(TOLD.get("BENCH_INBOX"), Consumed.with(Serdes.String(), Serdes.ByteArray()));
        inbox.to(TOLD.get("BENCH_LOG"), Produced.with(Serdes.String(), Serdes.ByteArray()));
        Materialized<String, GenericRecord, KeyValueStore<Bytes, byte[]>> users = Materialized.as("users");
        ThreadLocal<Avro> events = ThreadLocal.withInitial(() -> new Avro(event, FRAME));
        inbox.groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
                .aggregate(
                        () -> null,
                        (user, value, before) -> fold(events.get().deserialize(null, value), before, row),
                        users.withKeySerde(Serdes.String()).withValueSerde(new Avro(row, 0)));
        return builder;
    }

    private static GenericRecord fold(GenericRecord event, GenericRecord before, Schema schema) {
        GenericRecord row = new GenericData.Record(schema);
        row.put(0, event.get("email"));
        row.put(1, new GenericData.EnumSymbol(schema.getField("plan").schema(), event.get("plan")));
        row.put(2, before == null ? 1L : (Long) before.get(2) + 1);
        return row;
    }

    /** A record's bytes after `skipped` others. Each serializer is of one store and one thread; it keeps what it can use again. */
    private static final class Avro implements Serde<GenericRecord>, Serializer<GenericRecord>, Deserializer<GenericRecord> {
        private final GenericDatumReader<GenericRecord> reader;
        private final GenericDatumWriter<GenericRecord> writer;
        private final ByteArrayOutputStream output = new ByteArrayOutputStream();
        private final Schema schema;
        private final int skipped;
        private BinaryDecoder decoder;
        private BinaryEncoder encoder;

        Avro(Schema schema, int skipped) {
            this.schema = schema;
            this.reader = new GenericDatumReader<>(schema);
            this.writer = new GenericDatumWriter<>(schema);
            this.skipped = skipped;
        }

        @Override
        public GenericRecord deserialize(String topic, byte[] data) {
            if (data == null) {
                return null;
            }
            try {
                decoder = DecoderFactory.get().binaryDecoder(data, skipped, data.length - skipped, decoder);
                return reader.read(null, decoder);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        @Override
        public byte[] serialize(String topic, GenericRecord record) {
            if (record == null) {
                return null;
            }
            try {
                output.reset();
                encoder = EncoderFactory.get().binaryEncoder(output, encoder);
                writer.write(record, encoder);
                encoder.flush();
                return output.toByteArray();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        @Override
        public Serializer<GenericRecord> serializer() {
            return new Avro(schema, skipped);
        }

        @Override
        public Deserializer<GenericRecord> deserializer() {
            return new Avro(schema, skipped);
        }

        @Override
        public void configure(Map<String, ?> settings, boolean isKey) {}

        @Override
        public void close() {}
    }
}
